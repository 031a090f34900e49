// What a page notices before its connection does: the network came, went or changed, the page was hidden, shown or slept.

import { orNull } from "./or-null.js";
import { Timers } from "./timers.js";

/** @typedef {"online"|"offline"|"network"|"hidden"|"woken"} PageEvent */

const TICK_MS = 2_000;
// A timer that is this late slept, with the machine. In a page that nobody sees, browsers make them late themselves.
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
  on(page, "pageshow", seen); // from the back-forward cache, with a dead socket
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
 * It tells of every change in speed too.
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
