// Transport choice, a state machine (PROTOCOL.md §2, "Choosing"). Pure, like connection-state.js: events with their
// time in, effects out as data. An event that is missing from a phase's row changes nothing in that phase.

import { startTimer, stopTimer } from "./timers.js";

/** @typedef {"websocket"|"stream"|"poll"} TransportName */
/** @typedef {{code: string, message: string}} Why */
/**
 * @typedef {{name: TransportName, until: number}} Memory the transport that worked last, and the end of its validity,
 *   ms
 */
/**
 * @typedef {object} TransportChoice
 * @property {"idle"|"choosing"|"settled"|"checking"} phase `checking`: one is in use, another is tried beside it
 * @property {TransportName[]} available best first
 * @property {TransportName|null} used the transport in use
 * @property {number|null} since start of its use, ms
 * @property {Why|null} reason why no better one is used
 * @property {TransportName[]} left candidates of this attempt or check; the first is being tried
 * @property {Why|null} failure latest failure of this attempt or check
 * @property {number} checks consecutive failed checks for a better one
 * @property {number} checkAt time of the next check, ms
 * @property {Memory|null} memory
 */
/**
 * @typedef {object} TransportEvent
 * @property {"attempt"|"greeted"|"refused"|"silent"|"answered"|"lost"|"upgrade"|"network"|"doubt"|"closed"} type
 *   `greeted`: its `connected` frame came; `refused`: closed before that; `silent`: no such frame in time; `answered`:
 *   the server itself refused; `lost`: the transport in use was closed; `network`: the network may have changed;
 *   `doubt`: the transport in use may be dead
 * @property {number} now ms
 * @property {number} code close code, where there was one
 */
/**
 * @typedef {{type: "try", name: TransportName} | {type: "use"} | {type: "discard"} | {type: "fail", code: number}
 *   | {type: "remember", memory: Memory} | import("./timers.js").TimerEffect<"silent"|"upgrade">} ChoiceEffect
 *   a timer is named after the event it causes
 */
/** @typedef {Partial<TransportChoice> & {effects: ChoiceEffect[]}} ChoiceChange */
/** @typedef {(choice: TransportChoice, event: TransportEvent) => ChoiceChange} ChoiceHandler */

// Time to the `connected` frame; a connection that takes longer probably meets a buffering proxy.
export const GREETING_MS = 4_000;
// The same beside a working transport, where there is no hurry.
export const CHECK_GREETING_MS = 10_000;
export const FIRST_CHECK_MS = 10_000;
export const LAST_CHECK_MS = 600_000;
export const MEMORY_MS = 24 * 3_600_000;

/** @type {Record<TransportChoice["phase"], Partial<Record<TransportEvent["type"], ChoiceHandler>>>} */
const TRANSITIONS = {
  idle: { attempt },
  choosing: { greeted: settle, refused: moveOn, silent: moveOn, answered: giveUp, closed: reset },
  settled: { lost: giveUp, upgrade: check, network: checkNow, doubt: replace, closed: reset },
  checking: {
    greeted: settle,
    refused: moveOn,
    silent: moveOn,
    answered: moveOn,
    lost: giveUp,
    network: checkNow,
    closed: reset,
  },
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

/**
 * @param {TransportChoice} choice
 * @param {TransportEvent} event
 * @returns {{choice: TransportChoice, effects: ChoiceEffect[]}}
 */
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

// Only a socket needs a second one beside it: over HTTP, the next request is the replacement.
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

// Keep the transport in use: no better one works yet.
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

// A failure that is not about transports: the next attempt starts as this one did.
/** @type {ChoiceHandler} */
function giveUp(choice, { code }) {
  return { ...IDLE, effects: [...DONE, { type: "fail", code }] };
}

/** @type {ChoiceHandler} */
function reset() {
  return { ...IDLE, effects: DONE };
}

// The last candidate may take as long as the whole attempt.
/** @param {TransportName[]} left @param {number} ms @returns {ChoiceEffect[]} */
function tryFirst(left, ms) {
  const patience = left.length > 1 || ms > GREETING_MS ? startTimer("silent", ms) : stopTimer("silent");
  return [{ type: "try", name: left[0] }, patience];
}
