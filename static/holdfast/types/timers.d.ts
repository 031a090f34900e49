export type Clock = {
    /**
     * ms since 1970; never goes back
     */
    now: () => number;
    setTimeout: (action: () => void, ms: number) => unknown;
    clearTimeout: (timer: any) => void;
};
/**
 * @typedef {object} Clock
 * @property {() => number} now ms since 1970; never goes back
 * @property {(action: () => void, ms: number) => unknown} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */
/**
 * Return a function for the time that never goes back: when the system's clock is set back, it goes on from where it
 * was. Deadlines would be late by as much as that otherwise. A jump ahead is passed on, since it may be a sleep.
 * @param {() => number} wallClock ms since 1970
 */
export declare function neverBack(wallClock: () => number): () => number;
/** @type {Clock} */
export declare const systemClock: Clock;
export type TimerEffect<Name extends string> = {
    type: "startTimer";
    name: Name;
    ms: number;
} | {
    type: "stopTimer";
    name: Name;
};
/**
 * A timer effect of a pure state machine.
 * @template {string} Name
 * @typedef {{type: "startTimer", name: Name, ms: number} | {type: "stopTimer", name: Name}} TimerEffect
 */
/** @template {string} Name @param {Name} name @param {number} ms @returns {TimerEffect<Name>} */
export declare function startTimer<Name extends string>(name: Name, ms: number): TimerEffect<Name>;
/** @template {string} Name @param {Name} name @returns {TimerEffect<Name>} */
export declare function stopTimer<Name extends string>(name: Name): TimerEffect<Name>;
export declare class Timers {
    #private;
    /** @param {Clock} clock */
    constructor(clock: Clock);
    /** @param {string} name @param {number} ms @param {() => void} action */
    start(name: string, ms: number, action: () => void): void;
    /** @param {string} name */
    stop(name: string): void;
    stopAll(): void;
    /** @param {string} name */
    has(name: string): boolean;
}
