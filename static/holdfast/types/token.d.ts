export type TokenProvider = () => string | Promise<string>;
/** @typedef {() => string|Promise<string>} TokenProvider */
export declare class Token {
    #private;
    /** When to have another one, ms. */
    renewAt: number;
    /** @param {TokenProvider|null} provider null where cookies say who it is @param {import("./timers.js").Clock} clock */
    constructor(provider: TokenProvider | null, clock: import("./timers.js").Clock);
    get isUsed(): boolean;
    /** @returns {Promise<string>} one that is good for a while; rejects as what gives it does */
    fresh(): Promise<string>;
    /** It counts no more. */
    forget(): void;
}
