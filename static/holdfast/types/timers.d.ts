export type Clock = {
    /**
     * ms since 1970
     */
    now: () => number;
    setTimeout: (action: () => void, ms: number) => unknown;
    clearTimeout: (timer: any) => void;
};
/**
 * @typedef {object} Clock
 * @property {() => number} now ms since 1970
 * @property {(action: () => void, ms: number) => unknown} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */
/** @type {Clock} */
export declare const systemClock: Clock;
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
