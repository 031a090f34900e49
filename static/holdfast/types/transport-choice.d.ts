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
     * `checking`: one carries the frames and another is tried beside
     */
    phase: "idle" | "choosing" | "settled" | "checking";
    /**
     * the best first
     */
    available: TransportName[];
    /**
     * what carries the frames
     */
    used: TransportName | null;
    /**
     * when, ms
     */
    since: number | null;
    /**
     * why nothing better is used
     */
    reason: Why | null;
    /**
     * what this attempt or check may use yet; the first is being tried
     */
    left: TransportName[];
    /**
     * the latest of this attempt or check
     */
    failure: Why | null;
    /**
     * for something better that failed, one after the other
     */
    checks: number;
    /**
     * when the next is due, ms
     */
    checkAt: number;
    memory: Memory | null;
};
export type TransportEvent = {
    /**
     *   `refused`: closed before it was greeted; `silent`: not greeted in time; `answered`: the server itself said no; `lost`:
     *   the one that is used was closed; `network`: it may be another one now; `doubt`: the one that is used may be dead
     */
    type: "attempt" | "greeted" | "refused" | "silent" | "answered" | "lost" | "upgrade" | "network" | "doubt" | "closed";
    /**
     * ms
     */
    now: number;
    /**
     * of the close, where there was one
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
/** @typedef {{name: TransportName, until: number}} Memory what worked last, and until when that counts, ms */
/**
 * @typedef {object} TransportChoice
 * @property {"idle"|"choosing"|"settled"|"checking"} phase `checking`: one carries the frames and another is tried beside
 * @property {TransportName[]} available the best first
 * @property {TransportName|null} used what carries the frames
 * @property {number|null} since when, ms
 * @property {Why|null} reason why nothing better is used
 * @property {TransportName[]} left what this attempt or check may use yet; the first is being tried
 * @property {Why|null} failure the latest of this attempt or check
 * @property {number} checks for something better that failed, one after the other
 * @property {number} checkAt when the next is due, ms
 * @property {Memory|null} memory
 */
/**
 * @typedef {object} TransportEvent
 * @property {"attempt"|"greeted"|"refused"|"silent"|"answered"|"lost"|"upgrade"|"network"|"doubt"|"closed"} type
 *   `refused`: closed before it was greeted; `silent`: not greeted in time; `answered`: the server itself said no; `lost`:
 *   the one that is used was closed; `network`: it may be another one now; `doubt`: the one that is used may be dead
 * @property {number} now ms
 * @property {number} code of the close, where there was one
 */
/**
 * @typedef {{type: "try", name: TransportName} | {type: "use"} | {type: "discard"} | {type: "fail", code: number}
 *   | {type: "remember", memory: Memory} | import("./timers.js").TimerEffect<"silent"|"upgrade">} ChoiceEffect a timer's name is
 *   the event that it brings
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
/** @param {TransportChoice} choice @param {TransportEvent} event @returns {{choice: TransportChoice, effects: ChoiceEffect[]}} */
export declare function choose(choice: TransportChoice, event: TransportEvent): {
    choice: TransportChoice;
    effects: ChoiceEffect[];
};
