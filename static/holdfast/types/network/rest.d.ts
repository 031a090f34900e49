export type SessionRecord = {
    id: string;
    external_id: string | null;
    title: string;
    agent: string;
    policy: string;
    cursor: string;
    streaming: boolean;
    held: boolean;
    created_at: number;
    active_at: number;
    expires_at: number | null;
};
export type SessionPage = {
    results: SessionRecord[];
    next: string | null;
};
/**
 * A session as the API lists it. Times are ms since 1970; `expires_at` is null if it is kept for good. `streaming`: a
 * response is in progress.
 * @typedef {object} SessionRecord
 * @property {string} id
 * @property {string|null} external_id
 * @property {string} title
 * @property {string} agent
 * @property {string} policy
 * @property {string} cursor
 * @property {boolean} streaming
 * @property {boolean} held
 * @property {number} created_at
 * @property {number} active_at
 * @property {number|null} expires_at
 */
/** @typedef {{results: SessionRecord[], next: string|null}} SessionPage */
export declare class ApiError extends Error {
    status: number;
    code: string;
    retryable: boolean;
    /**
     * @param {string} message for users
     * @param {number} status HTTP status, 0 without an answer
     * @param {string} code error code of the server
     * @param {boolean} retryable whether the same request may succeed later
     */
    constructor(message: string, status: number, code: string, retryable: boolean);
    /** Whether the server could not be reached, so that the same request may succeed later. */
    get offline(): boolean;
}
export declare class Rest {
    #private;
    /**
     * @param {object} options
     * @param {string} options.api address of the API, with the last slash
     * @param {typeof globalThis.fetch|null} options.fetch
     * @param {Window & typeof globalThis} options.page
     * @param {import("../token.js").Token} [options.token] without one, cookies authenticate
     */
    constructor(options: {
        api: string;
        fetch: typeof globalThis.fetch | null;
        page: Window & typeof globalThis;
        token?: import("../token.js").Token;
    });
    /** @param {string|null} [next] `next` of the page before @returns {Promise<SessionPage>} sessions, newest first */
    listSessions(next?: string | null): Promise<SessionPage>;
    /** @param {object} [fields] @returns {Promise<SessionRecord>} */
    createSession(fields?: object): Promise<SessionRecord>;
    /**
     * @param {string} id of the session
     * @param {{before: number, limit: number, replaced: boolean}} page `before` is a message's first serial
     * @returns {Promise<{results: import("../message.js").FoldedMessage[], more: boolean}>} the messages before it, oldest
     *   first; `more`: whether there are earlier ones
     */
    getMessages(id: string, { before, limit, replaced }: {
        before: number;
        limit: number;
        replaced: boolean;
    }): Promise<{
        results: import("../message.js").FoldedMessage[];
        more: boolean;
    }>;
    /**
     * @param {string} method
     * @param {string} path relative to the API, or a link that it gave
     * @param {object} [body]
     * @returns {Promise<any>} the answer; null if it has no content
     */
    request(method: string, path: string, body?: object): Promise<any>;
}
/** @param {string} id */
export declare function sessionPath(id: string): string;
