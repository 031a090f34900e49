// The transport choice: every cell of its table, and rules across cells.

import assert from "node:assert/strict";
import test from "node:test";
import {
  CHECK_GREETING_MS,
  FIRST_CHECK_MS,
  GREETING_MS,
  LAST_CHECK_MS,
  MEMORY_MS,
  choose,
  initialChoice,
} from "../../static/holdfast/transport-choice.js";

const NOW = 1_000_000;
const ALL = ["websocket", "stream", "poll"];
const WHY = { code: "websocket_refused", message: "" };
const ABNORMAL = 1006;

// Every phase as choices that are typical of it.
const PHASES = {
  idle: {},
  "choosing the first": { phase: "choosing", left: ALL },
  "choosing the last": { phase: "choosing", left: ["poll"], failure: WHY },
  "settled on the best": { phase: "settled", used: "websocket" },
  "settled on less": { phase: "settled", used: "stream", reason: WHY, checks: 1 },
  "checking for better": { phase: "checking", used: "stream", reason: WHY, left: ["websocket"], checks: 1 },
  "checking for better, with more to try": { phase: "checking", used: "poll", reason: WHY, left: ["websocket", "stream"] },
  "checking for another of its kind": { phase: "checking", used: "websocket", left: ["websocket"] },
};

const EVENTS = ["attempt", "greeted", "refused", "silent", "answered", "lost", "upgrade", "network", "doubt", "closed"];

const DONE = ["discard", "stop silent", "stop upgrade"];
const GIVE_UP = ["idle", ...DONE, `fail ${ABNORMAL}`];
const END = ["idle", ...DONE];
const CHECK = ["checking", "stop upgrade", "try websocket", `start silent ${CHECK_GREETING_MS}`];
const BEST = ["settled", "remember websocket", "stop silent", "stop upgrade", "use"];
const LESS = (name) => ["settled", `remember ${name}`, "stop silent", `start upgrade ${FIRST_CHECK_MS}`, "use"];
const STAY = ["settled", "discard", "stop silent", `start upgrade ${4 * FIRST_CHECK_MS}`];
const SAME = ["settled", "discard", "stop silent"];
const NEXT = ["checking", "try stream", `start silent ${CHECK_GREETING_MS}`];

// [phase, effect, …] for every cell that is left out of "nothing happens".
const EXPECTED = {
  idle: { attempt: ["choosing", "try websocket", `start silent ${GREETING_MS}`] },
  "choosing the first": {
    greeted: BEST,
    refused: ["choosing", "try stream", `start silent ${GREETING_MS}`],
    silent: ["choosing", "try stream", `start silent ${GREETING_MS}`],
    answered: GIVE_UP,
    closed: END,
  },
  "choosing the last": { greeted: LESS("poll"), refused: GIVE_UP, silent: GIVE_UP, answered: GIVE_UP, closed: END },
  "settled on the best": {
    lost: GIVE_UP,
    upgrade: ["settled"],
    network: ["settled"],
    doubt: ["checking", "try websocket", `start silent ${CHECK_GREETING_MS}`],
    closed: END,
  },
  "settled on less": { lost: GIVE_UP, upgrade: CHECK, network: CHECK, doubt: ["settled"], closed: END },
  "checking for better": {
    greeted: BEST,
    refused: STAY,
    silent: STAY,
    answered: STAY,
    lost: GIVE_UP,
    network: CHECK,
    closed: END,
  },
  "checking for better, with more to try": {
    greeted: BEST,
    refused: NEXT,
    silent: NEXT,
    answered: NEXT,
    lost: GIVE_UP,
    network: CHECK,
    closed: END,
  },
  "checking for another of its kind": {
    greeted: BEST,
    refused: SAME,
    silent: SAME,
    answered: SAME,
    lost: GIVE_UP,
    network: ["checking"],
    closed: END,
  },
};

for (const [phase, row] of Object.entries(EXPECTED)) {
  for (const type of EVENTS) {
    const expected = row[type] ?? [at(phase).phase];
    test(`${phase} + ${type}: ${expected.join(", ")}`, () => {
      const { choice, effects } = choose(at(phase), seen(type));
      assert.deepEqual([choice.phase, ...effects.map(inWords)], expected);
      if (!row[type]) assert.equal(effects.length, 0);
    });
  }
}

function at(phase, more = {}) {
  return { ...initialChoice(ALL, null), ...PHASES[phase], ...more };
}

function seen(type, now = NOW) {
  return { type, now, code: ABNORMAL };
}

function inWords({ type, name, ms, memory, code }) {
  if (type === "startTimer") return `start ${name} ${ms}`;
  if (type === "stopTimer") return `stop ${name}`;
  return [type, name ?? memory?.name ?? code].filter((word) => word !== undefined).join(" ");
}

/** What a choice comes to, by event in a row. */
function after(choice, ...types) {
  return types.reduce((before, type) => choose(before, seen(type)).choice, choice);
}

/** The order in which an attempt tries transports, all of which fail. */
function order(choice) {
  const tried = [];
  let { choice: now, effects } = choose(choice, seen("attempt"));
  while (now.phase === "choosing") {
    tried.push(effects.find(({ type }) => type === "try").name);
    ({ choice: now, effects } = choose(now, seen("refused")));
  }
  return tried;
}

test("an attempt tries the remembered transport, then the others, best first", () => {
  const remembering = (name, until = NOW + 1) => initialChoice(ALL, { name, until });
  assert.deepEqual(order(initialChoice(ALL, null)), ALL);
  assert.deepEqual(order(remembering("stream")), ["stream", "websocket", "poll"]);
  assert.deepEqual(order(remembering("poll")), ["poll", "websocket", "stream"]);
  assert.deepEqual(order(remembering("poll", NOW)), ALL);
  assert.deepEqual(order(remembering("pigeon")), ALL);
  assert.deepEqual(order(initialChoice(["stream", "poll"], { name: "websocket", until: NOW + 1 })), ["stream", "poll"]);
});

test("the last resort may take as long as the whole attempt", () => {
  const { effects } = choose(at("choosing the first", { left: ["stream", "poll"] }), seen("silent"));
  assert.deepEqual(effects.map(inWords), ["try poll", "stop silent"]);
});

test("the choice has the reason why no better transport is used", () => {
  const choice = initialChoice(ALL, null);
  assert.equal(after(choice, "attempt", "greeted").reason, null);
  assert.equal(after(choice, "attempt", "refused", "greeted").reason.code, "websocket_refused");
  assert.equal(after(choice, "attempt", "silent", "greeted").reason.code, "websocket_silent");
  assert.equal(after(choice, "attempt", "refused", "silent", "greeted").reason.code, "stream_silent");
  const remembering = initialChoice(ALL, { name: "stream", until: NOW + 1 });
  const begun = after(remembering, "attempt", "greeted");
  assert.equal(begun.reason.code, "remembered");
  assert.equal(after(begun, "upgrade", "silent").reason.code, "websocket_silent");
  assert.equal(after(begun, "upgrade", "silent", "lost", "attempt", "greeted").reason.code, "websocket_silent");
  assert.equal(after(begun, "upgrade", "greeted").reason, null);
});

test("an attempt in which all fail changes nothing remembered", () => {
  const used = after(initialChoice(ALL, null), "attempt", "refused", "greeted", "lost");
  const failed = after(used, "attempt", "silent", "silent", "silent");
  assert.deepEqual({ ...failed, failure: null }, { ...used, failure: null });
});

test("the transport that worked is remembered for a day", () => {
  const { memory } = after(initialChoice(ALL, null), "attempt", "refused", "greeted");
  assert.deepEqual(memory, { name: "stream", until: NOW + MEMORY_MS });
});

test("checks back off to a bound, and start over on another network", () => {
  let choice = after(initialChoice(ALL, null), "attempt", "refused", "greeted");
  const delays = [];
  for (let check = 0; check < 8; check += 1) {
    const { choice: next, effects } = choose(after(choice, "upgrade"), seen("refused"));
    delays.push(effects.find(({ name, type }) => type === "startTimer" && name === "upgrade").ms);
    choice = next;
  }
  assert.deepEqual(delays.slice(0, 3), [2, 4, 8].map((times) => times * FIRST_CHECK_MS));
  assert.equal(delays.at(-1), LAST_CHECK_MS);
  assert.equal(after(choice, "network", "refused").checks, 1);
});

test("a transport that is lost and found again doesn't put off the next check", () => {
  const choice = after(initialChoice(ALL, null), "attempt", "refused", "greeted", "upgrade", "refused");
  const later = NOW + FIRST_CHECK_MS / 2;
  const again = ["lost", "attempt", "greeted"].reduce((before, type) => choose(before, seen(type, later)).choice, choice);
  assert.equal(again.used, "stream");
  assert.equal(again.checkAt, choice.checkAt);
});
