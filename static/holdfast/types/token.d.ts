export type TokenProvider = () => string | Promise<string>;
/** @typedef {() => string|Promise<string>} TokenProvider */
export declare class Token {
    #private;
    /** Time of the renewal, ms. */
    renewAt: number;
    /** @param {TokenProvider|null} provider null to authenticate by cookies @param {import("./timers.js").Clock} clock */
    constructor(provider: TokenProvider | null, clock: import("./timers.js").Clock);
    get isUsed(): boolean;
    /** Name of those who may see the same: whom the token acts as, and its sessions; empty with cookies. */
    get holder(): string;
    /** @returns {Promise<string>} a token that is valid for a while; rejects as the provider does */
    fresh(): Promise<string>;
    /** Drop the token: the server refused it. */
    forget(): void;
}
