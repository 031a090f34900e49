export type StateName = "initialized" | "connecting" | "connected" | "disconnected" | "suspended" | "closing" | "closed" | "failed";
export type Reason = {
    code: string;
    message: string;
    retryable?: boolean;
};
export type ConnectionState = {
    state: StateName;
    /**
     * when it entered the state, ms
     */
    since: number;
    /**
     * when the last good connection was lost (or the first one asked for); null while there
     * is one, and while none is wanted
     */
    lostAt: number | null;
    /**
     * when the next retry is due, ms
     */
    retryAt: number | null;
    /**
     * why it isn't connected, or is about to leave
     */
    reason: Reason | null;
    /**
     * retries since the last stable connection
     */
    attempts: number;
    /**
     * of the transport; what an earlier one says is dropped
     */
    generation: number;
    /**
     * how long after a loss it is `disconnected` before it is `suspended`
     */
    recoveryWindowMs: number;
};
export type ConnectionEffect = import("./timers.js").TimerEffect<string> | {
    type: "openTransport";
    generation: number;
} | {
    type: "closeTransport" | "flush" | "check" | "resume";
};
export type ConnectionEvent = {
    type: string;
    /**
     * of the transport that says it
     */
    generation?: number;
    /**
     * of its close
     */
    code?: number;
    reason?: Reason;
    reconnectInMs?: number;
    recoveryWindowMs?: number;
};
export type TimedEvent = ConnectionEvent & {
    now: number;
    random: number;
};
export type ConnectionChange = Partial<ConnectionState> & {
    effects: ConnectionEffect[];
};
export type ConnectionHandler = (connection: ConnectionState, event: TimedEvent) => ConnectionChange;
/** @typedef {"initialized"|"connecting"|"connected"|"disconnected"|"suspended"|"closing"|"closed"|"failed"} StateName */
/** @typedef {{code: string, message: string, retryable?: boolean}} Reason */
/**
 * @typedef {object} ConnectionState
 * @property {StateName} state
 * @property {number} since when it entered the state, ms
 * @property {number|null} lostAt when the last good connection was lost (or the first one asked for); null while there
 *   is one, and while none is wanted
 * @property {number|null} retryAt when the next retry is due, ms
 * @property {Reason|null} reason why it isn't connected, or is about to leave
 * @property {number} attempts retries since the last stable connection
 * @property {number} generation of the transport; what an earlier one says is dropped
 * @property {number} recoveryWindowMs how long after a loss it is `disconnected` before it is `suspended`
 */
/**
 * @typedef {import("./timers.js").TimerEffect<string> | {type: "openTransport", generation: number} |
 *   {type: "closeTransport"|"flush"|"check"|"resume"}} ConnectionEffect
 */
/**
 * @typedef {object} ConnectionEvent
 * @property {string} type
 * @property {number} [generation] of the transport that says it
 * @property {number} [code] of its close
 * @property {Reason} [reason]
 * @property {number} [reconnectInMs]
 * @property {number} [recoveryWindowMs]
 */
/** @typedef {ConnectionEvent & {now: number, random: number}} TimedEvent */
/** @typedef {Partial<ConnectionState> & {effects: ConnectionEffect[]}} ConnectionChange */
/** @typedef {(connection: ConnectionState, event: TimedEvent) => ConnectionChange} ConnectionHandler */
export declare const CONNECT_TIMEOUT_MS = 15000;
export declare const STABLE_MS = 5000;
export declare const SUSPENDED_RETRY_MS = 30000;
export declare const SUSPENDED_QUICK_RETRIES = 3;
export declare const CLOSE_TIMEOUT_MS = 1000;
/** @returns {ConnectionState} */
export declare function initialConnection(): ConnectionState;
/**
 * @param {ConnectionState} connection
 * @param {TimedEvent} event
 * @returns {{connection: ConnectionState, effects: ConnectionEffect[]}}
 */
export declare function transition(connection: ConnectionState, event: TimedEvent): {
    connection: ConnectionState;
    effects: ConnectionEffect[];
};
