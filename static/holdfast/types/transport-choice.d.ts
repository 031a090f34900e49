export type TransportName = "websocket" | "stream" | "poll";
export type Why = {
    code: string;
    message: string;
};
export type Memory = {
    name: TransportName;
    until: number;
};
export type TransportChoice = {
    /**
     * `checking`: one is in use, another is tried beside it
     */
    phase: "idle" | "choosing" | "settled" | "checking";
    /**
     * best first
     */
    available: TransportName[];
    /**
     * the transport in use
     */
    used: TransportName | null;
    /**
     * start of its use, ms
     */
    since: number | null;
    /**
     * why no better one is used
     */
    reason: Why | null;
    /**
     * candidates of this attempt or check; the first is being tried
     */
    left: TransportName[];
    /**
     * latest failure of this attempt or check
     */
    failure: Why | null;
    /**
     * consecutive failed checks for a better one
     */
    checks: number;
    /**
     * time of the next check, ms
     */
    checkAt: number;
    memory: Memory | null;
};
export type TransportEvent = {
    /**
     *   `greeted`: its `connected` frame came; `refused`: closed before that; `silent`: no such frame in time; `answered`:
     *   the server itself refused; `lost`: the transport in use was closed; `network`: the network may have changed;
     *   `doubt`: the transport in use may be dead
     */
    type: "attempt" | "greeted" | "refused" | "silent" | "answered" | "lost" | "upgrade" | "network" | "doubt" | "closed";
    /**
     * ms
     */
    now: number;
    /**
     * close code, where there was one
     */
    code: number;
};
export type ChoiceEffect = {
    type: "try";
    name: TransportName;
} | {
    type: "use";
} | {
    type: "discard";
} | {
    type: "fail";
    code: number;
} | {
    type: "remember";
    memory: Memory;
} | import("./timers.js").TimerEffect<"silent" | "upgrade">;
export type ChoiceChange = Partial<TransportChoice> & {
    effects: ChoiceEffect[];
};
export type ChoiceHandler = (choice: TransportChoice, event: TransportEvent) => ChoiceChange;
/** @typedef {"websocket"|"stream"|"poll"} TransportName */
/** @typedef {{code: string, message: string}} Why */
/**
 * @typedef {{name: TransportName, until: number}} Memory the transport that worked last, and the end of its validity,
 *   ms
 */
/**
 * @typedef {object} TransportChoice
 * @property {"idle"|"choosing"|"settled"|"checking"} phase `checking`: one is in use, another is tried beside it
 * @property {TransportName[]} available best first
 * @property {TransportName|null} used the transport in use
 * @property {number|null} since start of its use, ms
 * @property {Why|null} reason why no better one is used
 * @property {TransportName[]} left candidates of this attempt or check; the first is being tried
 * @property {Why|null} failure latest failure of this attempt or check
 * @property {number} checks consecutive failed checks for a better one
 * @property {number} checkAt time of the next check, ms
 * @property {Memory|null} memory
 */
/**
 * @typedef {object} TransportEvent
 * @property {"attempt"|"greeted"|"refused"|"silent"|"answered"|"lost"|"upgrade"|"network"|"doubt"|"closed"} type
 *   `greeted`: its `connected` frame came; `refused`: closed before that; `silent`: no such frame in time; `answered`:
 *   the server itself refused; `lost`: the transport in use was closed; `network`: the network may have changed;
 *   `doubt`: the transport in use may be dead
 * @property {number} now ms
 * @property {number} code close code, where there was one
 */
/**
 * @typedef {{type: "try", name: TransportName} | {type: "use"} | {type: "discard"} | {type: "fail", code: number}
 *   | {type: "remember", memory: Memory} | import("./timers.js").TimerEffect<"silent"|"upgrade">} ChoiceEffect
 *   a timer is named after the event it causes
 */
/** @typedef {Partial<TransportChoice> & {effects: ChoiceEffect[]}} ChoiceChange */
/** @typedef {(choice: TransportChoice, event: TransportEvent) => ChoiceChange} ChoiceHandler */
export declare const GREETING_MS = 4000;
export declare const CHECK_GREETING_MS = 10000;
export declare const FIRST_CHECK_MS = 10000;
export declare const LAST_CHECK_MS = 600000;
export declare const MEMORY_MS: number;
/** @param {TransportName[]} available @param {Memory|null} memory @returns {TransportChoice} */
export declare function initialChoice(available: TransportName[], memory: Memory | null): TransportChoice;
/**
 * @param {TransportChoice} choice
 * @param {TransportEvent} event
 * @returns {{choice: TransportChoice, effects: ChoiceEffect[]}}
 */
export declare function choose(choice: TransportChoice, event: TransportEvent): {
    choice: TransportChoice;
    effects: ChoiceEffect[];
};
