export type StateName = "initialized" | "connecting" | "connected" | "disconnected" | "suspended" | "closing" | "closed" | "failed";
export type Reason = {
    code: string;
    message: string;
    retryable?: boolean;
};
export type ConnectionState = {
    state: StateName;
    /**
     * start of the state, ms
     */
    since: number;
    /**
     * loss of the last good connection (or the first attempt to connect), ms; null while
     * connected and while closed
     */
    lostAt: number | null;
    /**
     * time of the next retry, ms
     */
    retryAt: number | null;
    /**
     * why it is not connected, or will soon not be
     */
    reason: Reason | null;
    /**
     * retries since the last stable connection
     */
    attempts: number;
    /**
     * of the transport; events of earlier ones are dropped
     */
    generation: number;
    /**
     * time from a loss until `disconnected` becomes `suspended`
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
     * of the transport it comes from
     */
    generation?: number;
    /**
     * close code
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
/**
 * @typedef {"initialized"|"connecting"|"connected"|"disconnected"|"suspended"|"closing"|"closed"|"failed"} StateName
 */
/** @typedef {{code: string, message: string, retryable?: boolean}} Reason */
/**
 * @typedef {object} ConnectionState
 * @property {StateName} state
 * @property {number} since start of the state, ms
 * @property {number|null} lostAt loss of the last good connection (or the first attempt to connect), ms; null while
 *   connected and while closed
 * @property {number|null} retryAt time of the next retry, ms
 * @property {Reason|null} reason why it is not connected, or will soon not be
 * @property {number} attempts retries since the last stable connection
 * @property {number} generation of the transport; events of earlier ones are dropped
 * @property {number} recoveryWindowMs time from a loss until `disconnected` becomes `suspended`
 */
/**
 * @typedef {import("./timers.js").TimerEffect<string> | {type: "openTransport", generation: number} |
 *   {type: "closeTransport"|"flush"|"check"|"resume"}} ConnectionEffect
 */
/**
 * @typedef {object} ConnectionEvent
 * @property {string} type
 * @property {number} [generation] of the transport it comes from
 * @property {number} [code] close code
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
