export type Connection = {
    state: string;
    since: number;
    retryAt: number | null;
    reason: {
        code: string;
        message: string;
    } | null;
    lastGoodAt: number | null;
    transport: string | null;
    transportReason?: {
        code: string;
        message: string;
    } | null;
    transportSince?: number | null;
};
export type Tone = "good" | "waiting" | "offline" | "bad";
export type Action = "retry" | "reload" | "sign-in";
export type Said = {
    /**
     * always on show
     */
    word: string;
    tone: Tone;
    /**
     * a sentence for who is kept waiting; empty for none
     */
    notice: string;
    /**
     * what a person can do about it
     */
    action: Action | null;
    /**
     * whole seconds to the next try, where a person is kept waiting
     */
    retryIn: number | null;
};
/**
 * @typedef {object} Connection  as `holdfast.connection` gives it; times are ms since 1970
 * @property {string} state
 * @property {number} since
 * @property {number|null} retryAt
 * @property {{code: string, message: string}|null} reason
 * @property {number|null} lastGoodAt
 * @property {string|null} transport
 * @property {{code: string, message: string}|null} [transportReason]
 * @property {number|null} [transportSince]
 */
/** @typedef {"good"|"waiting"|"offline"|"bad"} Tone */
/** @typedef {"retry"|"reload"|"sign-in"} Action */
/**
 * @typedef {object} Said
 * @property {string} word  always on show
 * @property {Tone} tone
 * @property {string} notice  a sentence for who is kept waiting; empty for none
 * @property {Action|null} action  what a person can do about it
 * @property {number|null} retryIn  whole seconds to the next try, where a person is kept waiting
 */
export declare const GRACE_MS = 1000;
/**
 * @param {Connection} connection
 * @param {{now: number, awaySince: number|null, wasConnected: boolean}} view when the last good connection was lost,
 *   ms; whether there has been one
 * @returns {Said}
 */
export declare function describe(connection: Connection, { now, awaySince, wasConnected }: {
    now: number;
    awaySince: number | null;
    wasConnected: boolean;
}): Said;
/**
 * For who wants to know more: since when it is so, over what, why not over something better, and what comes next.
 * @param {Connection} connection
 * @param {number} now ms
 * @returns {{term: string, text: string}[]}
 */
export declare function explain(connection: Connection, now: number): {
    term: string;
    text: string;
}[];
/** @param {string|null} transport @returns {string} its name for people */
export declare function transportName(transport: string | null): string;
/** @param {string} state @returns {string} its name for people */
export declare function stateName(state: string): string;
/** @param {{code: string, message: string}} reason why the transport isn't the best one @returns {string} */
export declare function explainTransport({ code, message }: {
    code: string;
    message: string;
}): string;
/** @param {number|null} seconds to the next try @returns {string} */
export declare function countdown(seconds: number | null): string;
