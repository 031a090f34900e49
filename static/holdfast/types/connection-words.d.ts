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
export type StatusText = {
    /**
     * always shown
     */
    word: string;
    tone: Tone;
    /**
     * a sentence for a user who has to wait; empty for none
     */
    notice: string;
    /**
     * offered to the user
     */
    action: Action | null;
    /**
     * whole seconds to the next retry, if the user has to wait
     */
    retryIn: number | null;
};
/**
 * @typedef {object} Connection  value of `holdfast.connection`; times are ms since 1970
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
 * @typedef {object} StatusText
 * @property {string} word  always shown
 * @property {Tone} tone
 * @property {string} notice  a sentence for a user who has to wait; empty for none
 * @property {Action|null} action  offered to the user
 * @property {number|null} retryIn  whole seconds to the next retry, if the user has to wait
 */
export declare const GRACE_MS = 1000;
/**
 * @param {Connection} connection
 * @param {{now: number, awaySince: number|null, wasConnected: boolean}} view `awaySince`: loss of the last
 *   good connection, ms; `wasConnected`: whether there was one
 * @returns {StatusText}
 */
export declare function describe(connection: Connection, { now, awaySince, wasConnected }: {
    now: number;
    awaySince: number | null;
    wasConnected: boolean;
}): StatusText;
/**
 * Details of the connection: state, reason, next retry, transport, and why no better one is used.
 * @param {Connection} connection
 * @param {number} now ms
 * @returns {{term: string, text: string}[]}
 */
export declare function explain(connection: Connection, now: number): {
    term: string;
    text: string;
}[];
/** @param {string|null} transport @returns {string} display name */
export declare function transportName(transport: string | null): string;
/** @param {string} state @returns {string} display name */
export declare function stateName(state: string): string;
/** @param {{code: string, message: string}} reason why no better transport is used @returns {string} */
export declare function explainTransport({ code, message }: {
    code: string;
    message: string;
}): string;
/** @param {number|null} seconds to the next retry @returns {string} */
export declare function countdown(seconds: number | null): string;
/** End a text with a full stop, unless it ends a sentence, perhaps in quotes. @param {string} text @returns {string} */
export declare function sentence(text: string): string;
