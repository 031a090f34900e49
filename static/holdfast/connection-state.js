// The connection state machine. Pure: events with time and randomness in, effects out as data. An event that is missing
// from a state's row changes nothing in that state.

import { backoffDelay } from "./backoff.js";
import { errorOfClose } from "./protocol.js";
import { startTimer, stopTimer } from "./timers.js";

/**
 * @typedef {"initialized"|"connecting"|"connected"|"disconnected"|"suspended"|"closing"|"closed"|"failed"} StateName
 */
/** @typedef {{code: string, message: string, retryable?: boolean}} Reason */
/**
 * @typedef {object} ConnectionState
 * @property {StateName} state
 * @property {number} since start of the state, ms
 * @property {number|null} lostAt loss of the last good connection (or the first attempt to connect), ms; null while
 *   connected and while closed
 * @property {number|null} retryAt time of the next retry, ms
 * @property {Reason|null} reason why it is not connected, or will soon not be
 * @property {number} attempts retries since the last stable connection
 * @property {number} generation of the transport; events of earlier ones are dropped
 * @property {number} recoveryWindowMs time from a loss until `disconnected` becomes `suspended`
 */
/**
 * @typedef {import("./timers.js").TimerEffect<string> | {type: "openTransport", generation: number} |
 *   {type: "closeTransport"|"flush"|"check"|"resume"}} ConnectionEffect
 */
/**
 * @typedef {object} ConnectionEvent
 * @property {string} type
 * @property {number} [generation] of the transport it comes from
 * @property {number} [code] close code
 * @property {Reason} [reason]
 * @property {number} [reconnectInMs]
 * @property {number} [recoveryWindowMs]
 */
/** @typedef {ConnectionEvent & {now: number, random: number}} TimedEvent */
/** @typedef {Partial<ConnectionState> & {effects: ConnectionEffect[]}} ConnectionChange */
/** @typedef {(connection: ConnectionState, event: TimedEvent) => ConnectionChange} ConnectionHandler */

// Deadline for the `connected` frame, opening and handshake included, over all transports tried.
export const CONNECT_TIMEOUT_MS = 15_000;
// Lifetime after which a lost connection is retried at once; a shorter one backs off.
export const STABLE_MS = 5_000;
export const SUSPENDED_RETRY_MS = 30_000;
// Quick retries of a suspended connection after a fresh reason to try (back online, request of the user): a network
// that has just come up often fails its first lookups.
export const SUSPENDED_QUICK_RETRIES = 3;
// Deadline for the answer to a close.
export const CLOSE_TIMEOUT_MS = 1_000;

/** @type {Record<StateName, Record<string, ConnectionHandler>>} */
const TRANSITIONS = {
  initialized: { open: start, retry: start, close: end },
  connecting: {
    connected: establish,
    dropped: lose,
    "connect-timeout": lose,
    refused: lose,
    "going-away": postpone,
    online: start, // an attempt that started offline may hang until it times out
    close: beginClose,
  },
  connected: {
    connected: changeOver,
    dropped: lose,
    silent: loseInSilence,
    refused: lose,
    "going-away": leaveLater,
    "retry-timer": again,
    online: check,
    offline: check,
    woken: check,
    unanswered: check,
    retry: check,
    close: beginClose,
  },
  disconnected: {
    "retry-timer": again,
    "window-over": suspend,
    open: start,
    retry: start,
    online: start,
    woken: start,
    close: end,
  },
  suspended: { "retry-timer": again, open: start, retry: start, online: start, woken: start, close: end },
  closing: { dropped: end, "close-timeout": end, open: start, retry: start },
  closed: { open: start, retry: start },
  failed: { open: start, retry: start, close: end },
};

// Timers by state: one is stopped on leaving the states that list it. Its name is the event that it causes.
/** @type {Partial<Record<StateName, string[]>>} */
const TIMERS = {
  connecting: ["connect-timeout", "window-over"],
  connected: ["retry-timer"],
  disconnected: ["retry-timer", "window-over"],
  suspended: ["retry-timer"],
  closing: ["close-timeout"],
};

/** @type {Record<string, Reason>} */
const REASONS = {
  dropped: { code: "transport_closed", message: "The connection was closed." },
  silent: { code: "server_silent", message: "The server has not been heard from." },
  "connect-timeout": { code: "connect_timeout", message: "The server did not answer in time." },
  "going-away": { code: "going_away", message: "The server is restarting." },
};

/** @returns {ConnectionState} */
export function initialConnection() {
  return {
    state: "initialized",
    since: 0,
    lostAt: null,
    retryAt: null,
    reason: null,
    attempts: 0,
    generation: 0,
    recoveryWindowMs: 120_000,
  };
}

/**
 * @param {ConnectionState} connection
 * @param {TimedEvent} event
 * @returns {{connection: ConnectionState, effects: ConnectionEffect[]}}
 */
export function transition(connection, event) {
  const stale = event.generation !== undefined && event.generation !== connection.generation;
  const handler = stale ? undefined : TRANSITIONS[connection.state][event.type];
  if (!handler) return { connection, effects: [] };
  const { effects, ...change } = handler(connection, event);
  if (Object.keys(change).length === 0) return { connection, effects };
  const next = { ...connection, ...change };
  if (next.state !== connection.state) next.since = event.now;
  const isLost = connection.lostAt === null && next.lostAt !== null;
  const window = isLost ? [startTimer("window-over", next.recoveryWindowMs)] : [];
  return { connection: next, effects: [...stopTimers(connection.state, next.state), ...effects, ...window] };
}

/** @param {StateName} from @param {StateName} to @returns {ConnectionEffect[]} */
function stopTimers(from, to) {
  const kept = TIMERS[to] ?? [];
  return (TIMERS[from] ?? []).filter((name) => !kept.includes(name)).map(stopTimer);
}

/**
 * @param {ConnectionState} connection
 * @param {TimedEvent} event
 * @param {number} attempts
 * @returns {ConnectionChange}
 */
function connect(connection, event, attempts) {
  const generation = connection.generation + 1;
  return {
    state: "connecting",
    since: event.now,
    lostAt: connection.lostAt ?? event.now,
    retryAt: null,
    attempts,
    generation,
    effects: [{ type: "openTransport", generation }, startTimer("connect-timeout", CONNECT_TIMEOUT_MS)],
  };
}

/** @type {ConnectionHandler} */
function start(connection, event) {
  return connect(connection, event, 0);
}

/** @type {ConnectionHandler} */
function again(connection, event) {
  return connect(connection, event, connection.attempts + 1);
}

/** @type {ConnectionHandler} */
function establish(connection, event) {
  return {
    state: "connected",
    lostAt: null,
    retryAt: null,
    reason: null,
    recoveryWindowMs: event.recoveryWindowMs,
    effects: [{ type: "resume" }],
  };
}

// Another transport is in use from now on; the announced end of the previous one is void.
/** @type {ConnectionHandler} */
function changeOver() {
  return { retryAt: null, reason: null, effects: [stopTimer("retry-timer"), { type: "resume" }] };
}

/** @type {ConnectionHandler} */
function check() {
  return { effects: [{ type: "check" }] };
}

/** @type {ConnectionHandler} */
function lose(connection, event) {
  const reason = event.reason ?? errorOfClose(event.code) ?? REASONS[event.type];
  if (reason.retryable === false) return fail(reason);
  if (connection.retryAt !== null) return wait(connection, event, connection.retryAt - event.now, connection.reason);

  const stable = connection.state === "connected" && event.now - connection.since >= STABLE_MS;
  const attempts = stable ? 0 : connection.attempts;
  if (attempts === 0) return { ...connect(connection, event, 1), reason };
  const slow = windowIsOver(connection, event) && attempts > SUSPENDED_QUICK_RETRIES;
  return wait(connection, event, slow ? SUSPENDED_RETRY_MS : backoffDelay(attempts, event.random), reason);
}

// Drop the browser's idle connections too: they may be dead, and the next attempt must not wait for them.
/** @type {ConnectionHandler} */
function loseInSilence(connection, event) {
  const { effects, ...lost } = lose(connection, event);
  return { ...lost, effects: [{ type: "flush" }, ...effects] };
}

/**
 * @param {ConnectionState} connection @param {TimedEvent} event @param {number} delayMs @param {Reason|null} reason
 * @returns {ConnectionChange}
 */
function wait(connection, event, delayMs, reason) {
  const ms = Math.max(0, delayMs);
  return {
    state: windowIsOver(connection, event) ? "suspended" : "disconnected",
    lostAt: connection.lostAt ?? event.now,
    retryAt: event.now + ms,
    reason,
    effects: [{ type: "closeTransport" }, startTimer("retry-timer", ms)],
  };
}

/** @param {ConnectionState} connection @param {TimedEvent} event */
function windowIsOver({ lostAt, recoveryWindowMs }, event) {
  return lostAt !== null && event.now - lostAt >= recoveryWindowMs;
}

/** @type {ConnectionHandler} */
function suspend(connection, event) {
  return {
    state: "suspended",
    retryAt: event.now + SUSPENDED_RETRY_MS,
    effects: [startTimer("retry-timer", SUSPENDED_RETRY_MS)],
  };
}

/** @type {ConnectionHandler} */
function postpone(connection, event) {
  return wait(connection, event, event.reconnectInMs ?? 0, REASONS["going-away"]);
}

// Keep the transport until the announced time: the server may send until it stops.
/** @type {ConnectionHandler} */
function leaveLater(connection, { now, reconnectInMs = 0 }) {
  return {
    retryAt: now + reconnectInMs,
    reason: REASONS["going-away"],
    effects: [startTimer("retry-timer", reconnectInMs)],
  };
}

/** @param {Reason} reason @returns {ConnectionChange} */
function fail(reason) {
  return { state: "failed", lostAt: null, retryAt: null, reason, effects: [{ type: "closeTransport" }] };
}

/** @type {ConnectionHandler} */
function beginClose() {
  return {
    state: "closing",
    retryAt: null,
    reason: null,
    effects: [{ type: "closeTransport" }, startTimer("close-timeout", CLOSE_TIMEOUT_MS)],
  };
}

/** @type {ConnectionHandler} */
function end() {
  return { state: "closed", lostAt: null, retryAt: null, reason: null, effects: [] };
}
