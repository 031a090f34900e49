export declare const MARGIN_MS = 5000;
export declare class Heartbeat {
    #private;
    staleAfterMs: number;
    /** @param {number} intervalMs promised interval of heartbeats @param {number} now ms */
    constructor(intervalMs: number, now: number);
    /** @param {number} now ms */
    recordFrame(now: number): void;
    get deadline(): number;
    /** @param {number} now ms */
    isStale(now: number): boolean;
}
