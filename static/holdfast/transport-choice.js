// Which transport to use, by event alone (PROTOCOL.md §2, "Choosing"). Pure, like connection-state.js: what was seen comes in
// with its time, and what to do goes out as data. What a phase's row leaves out changes nothing in that phase.

import { startTimer, stopTimer } from "./timers.js";

/** @typedef {"websocket"|"stream"|"poll"} TransportName */
/** @typedef {{code: string, message: string}} Why */
/** @typedef {{name: TransportName, until: number}} Memory what worked last, and until when that counts, ms */
/**
 * @typedef {object} TransportChoice
 * @property {"idle"|"choosing"|"settled"|"checking"} phase `checking`: one carries the frames and another is tried beside
 * @property {TransportName[]} available the best first
 * @property {TransportName|null} used what carries the frames
 * @property {number|null} since when, ms
 * @property {Why|null} reason why nothing better is used
 * @property {TransportName[]} left what this attempt or check may use yet; the first is being tried
 * @property {Why|null} failure the latest of this attempt or check
 * @property {number} checks for something better that failed, one after the other
 * @property {number} checkAt when the next is due, ms
 * @property {Memory|null} memory
 */
/**
 * @typedef {object} TransportEvent
 * @property {"attempt"|"greeted"|"refused"|"silent"|"answered"|"lost"|"upgrade"|"network"|"doubt"|"closed"} type
 *   `refused`: closed before it was greeted; `silent`: not greeted in time; `answered`: the server itself said no; `lost`:
 *   the one that is used was closed; `network`: it may be another one now; `doubt`: the one that is used may be dead
 * @property {number} now ms
 * @property {number} code of the close, where there was one
 */
/**
 * @typedef {{type: "try", name: TransportName} | {type: "use"} | {type: "discard"} | {type: "fail", code: number}
 *   | {type: "remember", memory: Memory} | import("./timers.js").TimerEffect<"silent"|"upgrade">} ChoiceEffect a timer's name is
 *   the event that it brings
 */
/** @typedef {Partial<TransportChoice> & {effects: ChoiceEffect[]}} ChoiceChange */
/** @typedef {(choice: TransportChoice, event: TransportEvent) => ChoiceChange} ChoiceHandler */

// A connection that isn't greeted in this time probably goes through something that holds its first bytes back.
export const GREETING_MS = 4_000;
// Beside a transport that works there is no hurry.
export const CHECK_GREETING_MS = 10_000;
export const FIRST_CHECK_MS = 10_000;
export const LAST_CHECK_MS = 600_000;
export const MEMORY_MS = 24 * 3_600_000;

/** @type {Record<TransportChoice["phase"], Partial<Record<TransportEvent["type"], ChoiceHandler>>>} */
const TRANSITIONS = {
  idle: { attempt },
  choosing: { greeted: settle, refused: moveOn, silent: moveOn, answered: giveUp, closed: reset },
  settled: { lost: giveUp, upgrade: check, network: checkNow, doubt: replace, closed: reset },
  checking: { greeted: settle, refused: moveOn, silent: moveOn, answered: moveOn, lost: giveUp, network: checkNow, closed: reset },
};

/** @type {Pick<TransportChoice, "phase"|"used"|"since"|"left">} */
const IDLE = { phase: "idle", used: null, since: null, left: [] };
/** @type {ChoiceEffect[]} */
const DONE = [{ type: "discard" }, stopTimer("silent"), stopTimer("upgrade")];
const REMEMBERED = { code: "remembered", message: "it worked last time" };

/** @param {TransportName[]} available @param {Memory|null} memory @returns {TransportChoice} */
export function initialChoice(available, memory) {
  return { ...IDLE, available, reason: null, failure: null, checks: 0, checkAt: 0, memory };
}

/** @param {TransportChoice} choice @param {TransportEvent} event @returns {{choice: TransportChoice, effects: ChoiceEffect[]}} */
export function choose(choice, event) {
  const handler = TRANSITIONS[choice.phase][event.type];
  if (!handler) return { choice, effects: [] };
  const { effects, ...change } = handler(choice, event);
  return { choice: { ...choice, ...change }, effects };
}

/** @type {ChoiceHandler} */
function attempt(choice, { now }) {
  const { available, memory } = choice;
  const known = memory && memory.until > now ? memory.name : null;
  const left = [...available.filter((name) => name === known), ...available.filter((name) => name !== known)];
  return { phase: "choosing", failure: null, left, effects: tryFirst(left, GREETING_MS) };
}

/** @type {ChoiceHandler} */
function check(choice) {
  const { available, used } = choice;
  const left = available.slice(0, available.findIndex((name) => name === used));
  if (!left.length) return { effects: [] };
  return { phase: "checking", failure: null, left, effects: [stopTimer("upgrade"), ...tryFirst(left, CHECK_GREETING_MS)] };
}

/** @type {ChoiceHandler} */
function checkNow(choice, event) {
  return { ...check(choice, event), checks: 0 };
}

// A request is its own replacement, a socket gets one of its kind beside it.
/** @type {ChoiceHandler} */
function replace({ used }) {
  if (used !== "websocket") return { effects: [] };
  return { phase: "checking", failure: null, left: [used], effects: tryFirst([used], CHECK_GREETING_MS) };
}

/** @type {ChoiceHandler} */
function moveOn(choice, event) {
  const [failed, ...left] = choice.left;
  const failure = { code: `${failed}_${event.type}`, message: `${failed}: ${event.type}` };
  const checking = choice.phase === "checking";
  if (left.length) return { left, failure, effects: tryFirst(left, checking ? CHECK_GREETING_MS : GREETING_MS) };
  return checking ? stay(choice, event, failure) : giveUp(choice, event);
}

// Nothing better works here yet.
/** @param {TransportChoice} choice @param {TransportEvent} event @param {Why} failure @returns {ChoiceChange} */
function stay(choice, { now }, failure) {
  /** @type {ChoiceEffect[]} */
  const discard = [{ type: "discard" }, stopTimer("silent")];
  if (choice.used === choice.available[0]) return { phase: "settled", left: [], effects: discard };
  const checks = choice.checks + 1;
  const ms = Math.min(FIRST_CHECK_MS * 2 ** checks, LAST_CHECK_MS);
  const effects = [...discard, startTimer("upgrade", ms)];
  return { phase: "settled", left: [], checks, checkAt: now + ms, reason: failure, effects };
}

/** @type {ChoiceHandler} */
function settle(choice, { now }) {
  const [used] = choice.left;
  const memory = { name: used, until: now + MEMORY_MS };
  const best = used === choice.available[0];
  const reason = best ? null : (choice.failure ?? choice.reason ?? REMEMBERED);
  const checkAt = Math.max(now + FIRST_CHECK_MS, Math.min(choice.checkAt, now + LAST_CHECK_MS));
  return {
    phase: "settled",
    used,
    since: now,
    reason,
    left: [],
    checks: best ? 0 : choice.checks,
    checkAt,
    memory,
    effects: [
      { type: "remember", memory },
      stopTimer("silent"),
      best ? stopTimer("upgrade") : startTimer("upgrade", checkAt - now),
      { type: "use" },
    ],
  };
}

// Says nothing about transports: the next attempt begins as this one did.
/** @type {ChoiceHandler} */
function giveUp(choice, { code }) {
  return { ...IDLE, effects: [...DONE, { type: "fail", code }] };
}

/** @type {ChoiceHandler} */
function reset() {
  return { ...IDLE, effects: DONE };
}

// The last resort may take as long as the whole attempt.
/** @param {TransportName[]} left @param {number} ms @returns {ChoiceEffect[]} */
function tryFirst(left, ms) {
  const patience = left.length > 1 || ms > GREETING_MS ? startTimer("silent", ms) : stopTimer("silent");
  return [{ type: "try", name: left[0] }, patience];
}
