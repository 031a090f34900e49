export type SharedSignals = import("./shared-signals.js").SharedSignals;
export type Sharing = import("./shared-signals.js").Sharing;
/** @typedef {import("./shared-signals.js").SharedSignals} SharedSignals */
/** @typedef {import("./shared-signals.js").Sharing} Sharing */
/**
 * Return the page's factory. If its code can't be loaded, signals live as long as this page.
 * @param {Window} page
 * @param {import("./timers.js").Clock} clock
 * @returns {Sharing}
 */
export declare function lazySharing(page: Window, clock: import("./timers.js").Clock): Sharing;
