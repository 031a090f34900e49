// Page lifecycle and network events, which a page sees before its connection does.

import { orNull } from "./or-null.js";
import { Timers } from "./timers.js";

/** @typedef {"online"|"offline"|"network"|"hidden"|"woken"} PageEvent */

const TICK_MS = 2_000;
// Lateness of a timer that means the machine slept. On hidden pages it does not count: browsers throttle their timers.
export const SLEPT_MS = 2_000;

/**
 * @param {Window & typeof globalThis} page
 * @param {import("./timers.js").Clock} clock
 * @param {(event: PageEvent) => void} notify
 * @returns {() => void} stops watching
 */
export function watchPage(page, clock, notify) {
  const { document } = page;
  const watching = new AbortController();
  /** @param {EventTarget|undefined} target @param {string} type @param {() => void} tell */
  const on = (target, type, tell) => target?.addEventListener?.(type, tell, { signal: watching.signal });
  const seen = () => notify(document?.hidden ? "hidden" : "woken");
  on(page, "online", () => notify("online"));
  on(page, "offline", () => notify("offline"));
  on(page, "pageshow", seen); // from the back-forward cache, where the socket died
  on(document, "resume", seen); // from a freeze
  on(document, "visibilitychange", seen);
  watchNetwork(page, on, notify);
  const timers = new Timers(clock);
  watchSleep(timers, clock, () => document?.hidden || notify("woken"));
  if (document?.hidden) notify("hidden");
  return () => {
    watching.abort();
    timers.stopAll();
  };
}

/** @typedef {EventTarget & {type?: string, effectiveType?: string}} NetworkInformation not in every browser */

/**
 * Watch for another kind of network; the browser's event reports changes of speed too.
 * @param {Window & typeof globalThis} page
 * @param {(target: EventTarget|undefined, type: string, tell: () => void) => void} on
 * @param {(event: PageEvent) => void} notify
 */
function watchNetwork(page, on, notify) {
  const { connection } = /** @type {Navigator & {connection?: NetworkInformation}} */ (page.navigator ?? {});
  const kind = () => `${connection?.type} ${connection?.effectiveType}`;
  let before = kind();
  on(connection, "change", () => {
    if (kind() === before) return;
    before = kind();
    notify("network");
  });
}

/** @param {Timers} timers @param {import("./timers.js").Clock} clock @param {() => void} tell */
function watchSleep(timers, clock, tell) {
  const due = clock.now() + TICK_MS;
  timers.start("tick", TICK_MS, () => {
    watchSleep(timers, clock, tell);
    if (clock.now() - due > SLEPT_MS) tell();
  });
}

/** @param {Window & typeof globalThis} page @returns {Storage|null} null where the browser forbids it */
export function pageStorage(page) {
  return orNull(() => page.localStorage ?? null);
}
