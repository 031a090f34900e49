export declare const BASE_MS = 500;
export declare const CAP_MS = 15000;
/**
 * @param {number} attempt retries already made
 * @param {number} random from 0 to 1
 * @returns {number} milliseconds
 */
export declare function backoffDelay(attempt: number, random: number): number;
