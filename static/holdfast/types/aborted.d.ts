/** Resolve when the signal is aborted. @param {AbortSignal} signal @returns {Promise<void>} */
export declare function aborted(signal: AbortSignal): Promise<void>;
