export type PageEvent = "online" | "offline" | "network" | "hidden" | "woken";
export declare const SLEPT_MS = 2000;
/**
 * @param {Window & typeof globalThis} page
 * @param {import("./timers.js").Clock} clock
 * @param {(event: PageEvent) => void} notify
 * @returns {() => void} stops watching
 */
export declare function watchPage(page: Window & typeof globalThis, clock: import("./timers.js").Clock, notify: (event: PageEvent) => void): () => void;
export type NetworkInformation = EventTarget & {
    type?: string;
    effectiveType?: string;
};
/** @param {Window & typeof globalThis} page @returns {Storage|null} null where the browser forbids it */
export declare function pageStorage(page: Window & typeof globalThis): Storage | null;
