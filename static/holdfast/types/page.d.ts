export type Fact = "online" | "offline" | "network" | "hidden" | "woken";
export declare const SLEPT_MS = 2000;
/**
 * @param {Window & typeof globalThis} page
 * @param {import("./timers.js").Clock} clock
 * @param {(fact: Fact) => void} notify
 * @returns {() => void} stops watching
 */
export declare function watchPage(page: Window & typeof globalThis, clock: import("./timers.js").Clock, notify: (fact: Fact) => void): () => void;
export type NetworkInformation = EventTarget & {
    type?: string;
    effectiveType?: string;
};
/** @param {Window & typeof globalThis} page @returns {Storage|null} null where the browser forbids it */
export declare function pageStorage(page: Window & typeof globalThis): Storage | null;
