// The connection state machine: every cell of its table, and rules across cells.

import assert from "node:assert/strict";
import test from "node:test";
import { CAP_MS } from "../../static/holdfast/backoff.js";
import {
  CLOSE_TIMEOUT_MS,
  CONNECT_TIMEOUT_MS,
  STABLE_MS,
  SUSPENDED_QUICK_RETRIES,
  SUSPENDED_RETRY_MS,
  initialConnection,
  transition,
} from "../../static/holdfast/connection-state.js";

const NOW = 1_000_000;
const WINDOW_MS = 120_000;
const GENERATION = 7;
const REFUSAL = { code: "rate_limited", message: "slow down", retryable: true };
const FATAL = { code: "signed_out", message: "sign in", retryable: false };

// Every state as a connection that is typical of it.
const STATES = {
  initialized: {},
  connecting: { lostAt: NOW - 5_000, attempts: 2 },
  connected: { attempts: 2, since: NOW - STABLE_MS },
  disconnected: { lostAt: NOW - 5_000, attempts: 2, retryAt: NOW + 400 },
  suspended: { lostAt: NOW - WINDOW_MS, attempts: 9, retryAt: NOW + 20_000 },
  closing: {},
  closed: {},
  failed: { reason: FATAL },
};

const EVENTS = {
  open: {},
  connected: { generation: GENERATION, recoveryWindowMs: 90_000 },
  dropped: { generation: GENERATION, code: 1006 },
  refused: { generation: GENERATION, reason: REFUSAL },
  "refused for good": { type: "refused", generation: GENERATION, reason: FATAL },
  "dropped for good": { type: "dropped", generation: GENERATION, code: 4403 },
  silent: {},
  "connect-timeout": {},
  "close-timeout": {},
  "retry-timer": {},
  "window-over": {},
  online: {},
  offline: {},
  woken: {},
  unanswered: {},
  retry: {},
  close: {},
  "going-away": { generation: GENERATION, reconnectInMs: 3_000 },
};

const open = `openTransport ${GENERATION + 1}`;
const connectTimer = `start connect-timeout ${CONNECT_TIMEOUT_MS}`;
const windowTimer = `start window-over ${WINDOW_MS}`;
const closeTimer = `start close-timeout ${CLOSE_TIMEOUT_MS}`;

// [state, effect, …] for every cell; "stay" changes nothing at all.
const EXPECTED = {
  initialized: {
    open: ["connecting", open, connectTimer, windowTimer],
    connected: "stay",
    dropped: "stay",
    refused: "stay",
    "refused for good": "stay",
    "dropped for good": "stay",
    silent: "stay",
    "connect-timeout": "stay",
    "close-timeout": "stay",
    "retry-timer": "stay",
    "window-over": "stay",
    online: "stay",
    offline: "stay",
    woken: "stay",
    unanswered: "stay",
    retry: ["connecting", open, connectTimer, windowTimer],
    close: ["closed"],
    "going-away": "stay",
  },
  connecting: {
    open: "stay",
    connected: ["connected", "stop connect-timeout", "stop window-over", "resume"],
    dropped: ["disconnected", "stop connect-timeout", "closeTransport", "start retry-timer 500"],
    refused: ["disconnected", "stop connect-timeout", "closeTransport", "start retry-timer 500"],
    "refused for good": ["failed", "stop connect-timeout", "stop window-over", "closeTransport"],
    "dropped for good": ["failed", "stop connect-timeout", "stop window-over", "closeTransport"],
    silent: "stay",
    "connect-timeout": ["disconnected", "stop connect-timeout", "closeTransport", "start retry-timer 500"],
    "close-timeout": "stay",
    "retry-timer": "stay",
    "window-over": "stay",
    online: ["connecting", open, connectTimer],
    offline: "stay",
    woken: "stay",
    unanswered: "stay",
    retry: "stay",
    close: ["closing", "stop connect-timeout", "stop window-over", "closeTransport", closeTimer],
    "going-away": ["disconnected", "stop connect-timeout", "closeTransport", "start retry-timer 3000"],
  },
  connected: {
    open: "stay",
    connected: ["connected", "stop retry-timer", "resume"],
    dropped: ["connecting", "stop retry-timer", open, connectTimer, windowTimer],
    refused: ["connecting", "stop retry-timer", open, connectTimer, windowTimer],
    "refused for good": ["failed", "stop retry-timer", "closeTransport"],
    "dropped for good": ["failed", "stop retry-timer", "closeTransport"],
    silent: ["connecting", "stop retry-timer", "flush", open, connectTimer, windowTimer],
    "connect-timeout": "stay",
    "close-timeout": "stay",
    "retry-timer": ["connecting", "stop retry-timer", open, connectTimer, windowTimer],
    "window-over": "stay",
    online: ["connected", "check"],
    offline: ["connected", "check"],
    woken: ["connected", "check"],
    unanswered: ["connected", "check"],
    retry: ["connected", "check"],
    close: ["closing", "stop retry-timer", "closeTransport", closeTimer],
    "going-away": ["connected", "start retry-timer 3000"],
  },
  disconnected: {
    open: ["connecting", "stop retry-timer", open, connectTimer],
    connected: "stay",
    dropped: "stay",
    refused: "stay",
    "refused for good": "stay",
    "dropped for good": "stay",
    silent: "stay",
    "connect-timeout": "stay",
    "close-timeout": "stay",
    "retry-timer": ["connecting", "stop retry-timer", open, connectTimer],
    "window-over": ["suspended", "stop window-over", `start retry-timer ${SUSPENDED_RETRY_MS}`],
    online: ["connecting", "stop retry-timer", open, connectTimer],
    offline: "stay",
    woken: ["connecting", "stop retry-timer", open, connectTimer],
    unanswered: "stay",
    retry: ["connecting", "stop retry-timer", open, connectTimer],
    close: ["closed", "stop retry-timer", "stop window-over"],
    "going-away": "stay",
  },
  suspended: {
    open: ["connecting", "stop retry-timer", open, connectTimer],
    connected: "stay",
    dropped: "stay",
    refused: "stay",
    "refused for good": "stay",
    "dropped for good": "stay",
    silent: "stay",
    "connect-timeout": "stay",
    "close-timeout": "stay",
    "retry-timer": ["connecting", "stop retry-timer", open, connectTimer],
    "window-over": "stay",
    online: ["connecting", "stop retry-timer", open, connectTimer],
    offline: "stay",
    woken: ["connecting", "stop retry-timer", open, connectTimer],
    unanswered: "stay",
    retry: ["connecting", "stop retry-timer", open, connectTimer],
    close: ["closed", "stop retry-timer"],
    "going-away": "stay",
  },
  closing: {
    open: ["connecting", "stop close-timeout", open, connectTimer, windowTimer],
    connected: "stay",
    dropped: ["closed", "stop close-timeout"],
    refused: "stay",
    "refused for good": "stay",
    "dropped for good": ["closed", "stop close-timeout"],
    silent: "stay",
    "connect-timeout": "stay",
    "close-timeout": ["closed", "stop close-timeout"],
    "retry-timer": "stay",
    "window-over": "stay",
    online: "stay",
    offline: "stay",
    woken: "stay",
    unanswered: "stay",
    retry: ["connecting", "stop close-timeout", open, connectTimer, windowTimer],
    close: "stay",
    "going-away": "stay",
  },
  closed: {
    open: ["connecting", open, connectTimer, windowTimer],
    connected: "stay",
    dropped: "stay",
    refused: "stay",
    "refused for good": "stay",
    "dropped for good": "stay",
    silent: "stay",
    "connect-timeout": "stay",
    "close-timeout": "stay",
    "retry-timer": "stay",
    "window-over": "stay",
    online: "stay",
    offline: "stay",
    woken: "stay",
    unanswered: "stay",
    retry: ["connecting", open, connectTimer, windowTimer],
    close: "stay",
    "going-away": "stay",
  },
  failed: {
    open: ["connecting", open, connectTimer, windowTimer],
    connected: "stay",
    dropped: "stay",
    refused: "stay",
    "refused for good": "stay",
    "dropped for good": "stay",
    silent: "stay",
    "connect-timeout": "stay",
    "close-timeout": "stay",
    "retry-timer": "stay",
    "window-over": "stay",
    online: "stay",
    offline: "stay",
    woken: "stay",
    unanswered: "stay",
    retry: ["connecting", open, connectTimer, windowTimer],
    close: ["closed"],
    "going-away": "stay",
  },
};

test("the table has every cell", () => {
  assert.deepEqual(Object.keys(EXPECTED), Object.keys(STATES));
  for (const row of Object.values(EXPECTED)) assert.deepEqual(Object.keys(row).sort(), Object.keys(EVENTS).sort());
});

for (const [state, row] of Object.entries(EXPECTED)) {
  for (const [name, expected] of Object.entries(row)) {
    test(`${state} + ${name}: ${expected === "stay" ? expected : expected.join(", ")}`, () => {
      const connection = at(state);
      const result = transition(connection, event(name));
      if (expected === "stay") assert.deepEqual(result, { connection, effects: [] });
      else assert.deepEqual([result.connection.state, ...result.effects.map(inWords)], expected);
    });
  }
}

function at(state, more = {}) {
  return { ...initialConnection(), state, generation: GENERATION, ...STATES[state], ...more };
}

function event(name, more = {}) {
  return { type: name, now: NOW, random: 0.5, ...EVENTS[name], ...more };
}

function inWords({ type, name, ms, generation }) {
  if (type === "startTimer") return `start ${name} ${ms}`;
  if (type === "stopTimer") return `stop ${name}`;
  return generation === undefined ? type : `${type} ${generation}`;
}

test("events of an earlier transport are dropped in every state", () => {
  for (const state of Object.keys(STATES)) {
    for (const name of ["connected", "dropped", "refused", "going-away"]) {
      const connection = at(state);
      const stale = transition(connection, event(name, { generation: GENERATION - 1 }));
      assert.deepEqual(stale, { connection, effects: [] });
    }
  }
});

test("connected clears the reason and takes the server's recovery window", () => {
  const { connection } = transition(at("connecting"), event("connected"));
  const { since, lostAt, retryAt, reason, recoveryWindowMs } = connection;
  assert.deepEqual(
    { since, lostAt, retryAt, reason, recoveryWindowMs },
    { since: NOW, lostAt: null, retryAt: null, reason: null, recoveryWindowMs: 90_000 },
  );
});

test("the first retry is at once, and the next ones back off", () => {
  let connection = transition(at("initialized"), event("open")).connection;
  const states = [];
  for (let losses = 0; losses < 4; losses += 1) {
    connection = transition(connection, event("dropped", { generation: connection.generation })).connection;
    states.push([connection.state, connection.retryAt && connection.retryAt - NOW]);
    if (connection.state === "disconnected") connection = transition(connection, event("retry-timer")).connection;
  }
  assert.deepEqual(states, [
    ["connecting", null],
    ["disconnected", 250],
    ["disconnected", 500],
    ["disconnected", 1000],
  ]);
});

test("a connection that is lost as soon as it is made backs off instead of spinning", () => {
  const young = at("connected", { since: NOW - STABLE_MS + 1 });
  assert.equal(transition(young, event("dropped")).connection.state, "disconnected");
});

test("the reason says why it is not connected", () => {
  assert.equal(transition(at("connecting"), event("dropped")).connection.reason.code, "transport_closed");
  assert.equal(transition(at("connecting"), event("dropped", { code: 4408 })).connection.reason.code, "slow_reader");
  assert.equal(transition(at("connecting"), event("connect-timeout")).connection.reason.code, "connect_timeout");
  assert.equal(transition(at("connected"), event("silent")).connection.reason.code, "server_silent");
  assert.deepEqual(transition(at("connected"), event("refused for good")).connection.reason, FATAL);
});

test("a loss after the recovery window leads to suspended, with a retry every 30 s", () => {
  const late = at("connecting", { lostAt: NOW - WINDOW_MS, attempts: 9 });
  const { connection } = transition(late, event("dropped"));
  assert.equal(connection.state, "suspended");
  assert.equal(connection.retryAt, NOW + SUSPENDED_RETRY_MS);
});

test("a suspended connection with a fresh reason to try makes a few quick retries", () => {
  let { connection } = transition(at("suspended"), event("online"));
  const delays = [];
  for (let losses = 0; losses < SUSPENDED_QUICK_RETRIES + 2; losses += 1) {
    connection = transition(connection, event("dropped", { generation: connection.generation, random: 1 })).connection;
    delays.push(connection.retryAt === null ? 0 : connection.retryAt - NOW);
    if (connection.state === "suspended") connection = transition(connection, event("retry-timer")).connection;
  }
  assert.deepEqual(delays, [0, 500, 1000, 2000, SUSPENDED_RETRY_MS]);
});

test("a server that goes away is left alone until the time it gave, even if its socket drops before", () => {
  const leaving = transition(at("connected"), event("going-away")).connection;
  assert.deepEqual([leaving.state, leaving.retryAt], ["connected", NOW + 3_000]);

  const { connection, effects } = transition(leaving, event("dropped", { now: NOW + 1_000 }));
  assert.deepEqual([connection.state, connection.retryAt, connection.lostAt], ["disconnected", NOW + 3_000, NOW + 1_000]);
  assert.deepEqual(effects.map(inWords), ["closeTransport", "start retry-timer 2000", windowTimer]);
  assert.equal(connection.reason.code, "going_away");
});

test("a clock that was set back does not end the recovery window", () => {
  const connection = at("connecting", { lostAt: NOW + 3_600_000, attempts: 3 });
  assert.equal(transition(connection, event("dropped")).connection.state, "disconnected");
});

test("backoff never passes its cap", () => {
  const tried = at("connecting", { attempts: 1_000 });
  assert.equal(transition(tried, event("dropped", { random: 1 })).connection.retryAt, NOW + CAP_MS);
});
