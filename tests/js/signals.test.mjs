// Signals other than messages, their status, and approvals: once, in order, the same in every tab.

import assert from "node:assert/strict";
import test from "node:test";
import { ACTOR, LIMITS, recordOf } from "./support/model-server.mjs";
import { FINISH, SESSION, begin, delta, following, openPage, plain, record } from "./support/world.mjs";

const FULL = { code: "rate_limited", message: "slow down", retryable: true };
const BUSY = { code: "busy", message: "An agent is at work", retryable: false };
const LATE = { code: "already_decided", message: "Somebody else has denied it", retryable: false };

const CALL = { toolCallId: "c1", toolName: "send_mail" };
const DESCRIPTOR = { input_hash: "sha256:1", expires_at: 1_300_000, editable: true };
/** The chunks of a call with these arguments that waits for a decision. */
const ask = (input) => [
  { type: "tool-input-available", ...CALL, input },
  {
    type: "tool-approval-request",
    approvalId: "a1",
    toolCallId: "c1",
    reason: "It leaves the house",
    approvalDescriptor: DESCRIPTOR,
  },
];
const DECIDED = { decided_by: ACTOR, decided_at: 1_000_100, edited: false };
const respond = (approved) => ({
  type: "tool-approval-response",
  approvalId: "a1",
  approved,
  reason: "Because",
  providerMetadata: { holdfast: DECIDED },
});

const stands = ({ signals }) => signals.map(({ kind, status }) => `${kind}: ${status}`);
/** Every signal that came to the server, repeated ones too: its kind and its payload. */
const heard = ({ received }) => received.filter(({ type }) => type === "signal").map(({ kind, payload }) => [kind, payload]);

/** A page in the middle of an answer. */
function answering() {
  const created = following();
  created.server.publish(SESSION, "m_1", ...begin("m_1"), delta("So far"));
  created.clock.advance(10);
  return created;
}

/** A page with a tool call that waits for a decision. */
function asking() {
  const created = answering();
  created.server.publish(SESSION, "m_1", ...ask({ to: "ann" }));
  created.clock.advance(10);
  return created;
}

function secondTab(created) {
  const { holdfast } = openPage(created);
  holdfast.connect();
  const second = holdfast.session(SESSION);
  created.clock.advance(10);
  return second;
}

// --- Records ---

test("a signal has the status of its newest event, and each change is reported once", () => {
  const { server, clock, session } = following();
  const changes = record(session, "change");
  for (const status of ["accepted", "delivered", "applied"]) {
    server.record(SESSION, recordOf({ id: "s_00000001", kind: "steer", status, message: "m_1" }));
    clock.advance(10);
    assert.deepEqual(stands(session), [`steer: ${status}`]);
  }
  assert.deepEqual(changes, Array(3).fill(["change", { messages: new Set(), signals: new Set(["s_00000001"]) }]));
  assert.deepEqual(session.signals, [recordOf({ id: "s_00000001", kind: "steer", status: "applied", message: "m_1" })]);
});

test("a repeated or older event of a signal changes nothing", () => {
  const { server, network, clock, session } = following();
  for (const status of ["accepted", "applied"]) server.record(SESSION, recordOf({ id: "s_1", kind: "steer", status }));
  clock.advance(10);
  const changes = record(session, "change");
  const [first] = server.sessions.get(SESSION).log;
  network.wire.send(JSON.stringify({ type: "events", session: SESSION, cursor: "e1-1", events: [first] }));
  clock.advance(10);
  assert.deepEqual([stands(session), changes], [["steer: applied"], []]);
});

test("a resume brings changed signals in their places, and reports them", () => {
  const { server, network, clock, session } = following();
  for (const id of ["s_1", "s_2"]) server.record(SESSION, recordOf({ id, kind: "steer" }));
  clock.advance(10);
  network.cut();
  server.record(SESSION, recordOf({ id: "s_1", kind: "steer", status: "applied" }));
  server.record(SESSION, recordOf({ id: "s_3", kind: "cancel" }));
  const changes = record(session, "change");
  clock.advance(10);
  assert.deepEqual(stands(session), ["steer: applied", "steer: accepted", "cancel: accepted"]);
  assert.deepEqual(changes[0][1].signals, new Set(["s_1", "s_3"]));
  assert.deepEqual(session.signals, server.signals(SESSION));
});

test("a reset replaces all signals, and reports the removed ones", () => {
  const { server, clock, session } = following();
  server.record(SESSION, recordOf({ id: "s_gone", kind: "steer" }));
  server.record(SESSION, recordOf({ id: "s_kept", kind: "steer" }));
  clock.advance(10);
  const changes = record(session, "change");
  server.sessions.get(SESSION).log.shift();
  server.changeEpoch(SESSION);
  server.heartbeat();
  clock.advance(10);
  assert.deepEqual(session.signals.map(({ id }) => id), ["s_kept"]);
  assert.deepEqual(changes.at(-1)[1].signals, new Set(["s_gone", "s_kept"]));
});

// --- Sending ---

test("each kind of signal is sent with its payload, shown at once as the user's own, and resolves once stored", async () => {
  const { server, clock, session } = asking();
  const sent = [
    session.steer("Shorter"),
    session.cancel(),
    session.cancel("m_1"),
    session.approve("a1"),
    session.approve("a1", { input: { to: "bob" }, reason: "Not ann" }),
    session.approve("a1", { inputText: '{"n": 1.10}' }),
    session.deny("a1", "No"),
    session.toolResult("m_1", "c1", { output: { sky: "clear" } }),
    session.toolResult("m_1", "c1", { error: "No window" }),
    session.retry("m_1", "continue"),
  ];
  assert.deepEqual(session.signals.map(({ status, actor }) => [status, actor])[0], ["waiting", null]);
  clock.advance(20);
  const serials = (await Promise.all(sent)).map(({ serial }) => serial);
  assert.equal(new Set(serials).size, sent.length);
  const byKind = (payloads, [kind, payload]) => ({ ...payloads, [kind]: [...(payloads[kind] ?? []), payload] });
  assert.deepEqual(heard(server).reduce(byKind, {}), {
    steer: [{ parts: [{ type: "text", text: "Shorter" }] }],
    cancel: [{}, { message: "m_1" }],
    approve: [
      { approval: "a1", input_hash: "sha256:1" },
      { approval: "a1", input_hash: "sha256:1", input: { to: "bob" }, reason: "Not ann" },
      { approval: "a1", input_hash: "sha256:1", input_text: '{"n": 1.10}' },
    ],
    deny: [{ approval: "a1", reason: "No" }],
    "tool-result": [
      { message: "m_1", call: "c1", output: { sky: "clear" } },
      { message: "m_1", call: "c1", error: "No window" },
    ],
    retry: [{ message: "m_1", mode: "continue" }],
  });
  assert.deepEqual(session.signals, server.signals(SESSION));
});

test("a value that JSON would change is not sent", async () => {
  const { session } = asking();
  for (const output of [NaN, [Infinity], { n: -Infinity }]) {
    await assert.rejects(session.toolResult("m_1", "c1", { output }), /is not a JSON number/);
  }
  await assert.rejects(session.toolResult("m_1", "c1", { output: 1n }), TypeError);
  assert.deepEqual(session.signals, []);
});

test("work is sent in the order of typing, and a stop waits for none of it", () => {
  const { server, clock, session } = answering();
  let isFull = true;
  server.judge = (id, payload, kind) => (isFull && kind === "message" ? FULL : null);
  session.send("one");
  session.steer("two");
  clock.advance(10);
  session.cancel();
  clock.advance(10);
  assert.deepEqual(stands(session), ["cancel: accepted", "steer: waiting"]);
  isFull = false;
  clock.advance(2_000);
  assert.deepEqual(heard(server).map(([kind]) => kind), ["message", "cancel", "message", "steer"]);
});

test("a decision that is refused for now doesn't hold up another", () => {
  const { server, clock, session } = asking();
  server.judge = (id, payload, kind) => (kind === "approve" ? FULL : null);
  session.approve("a1");
  session.cancel();
  clock.advance(10);
  assert.deepEqual(stands(session), ["cancel: accepted", "approve: waiting"]);
});

test("decisions made offline are sent once after a reload, in order", () => {
  const created = answering();
  const { server, network, clock, session, holdfast, tabs } = created;
  network.state = "refusing";
  network.cut();
  session.steer("first");
  session.cancel();
  clock.advance(10);
  assert.deepEqual(stands(session), ["steer: waiting", "cancel: waiting"]);
  holdfast.close();
  network.state = "up";
  const second = secondTab(created);
  clock.advance(20);
  assert.deepEqual(heard(server).map(([kind]) => kind), ["steer", "cancel"]);
  assert.deepEqual(stands(second), ["steer: accepted", "cancel: accepted"]);
  assert.equal(tabs.kept.size, 0);
});

test("a stop whose receipt was lost is sent again and counts once", async () => {
  const { server, network, clock, session } = answering();
  const stopped = session.cancel();
  clock.advance(2);
  network.cut();
  clock.advance(20);
  assert.equal((await stopped).status, "accepted");
  assert.deepEqual(heard(server).map(([kind]) => kind), ["cancel", "cancel"]);
  assert.deepEqual(stands(session), ["cancel: accepted"]);
});

test("a steer that is refused keeps its text to be seen, in every tab, until it is dismissed in one", async () => {
  const created = answering();
  const { server, clock, session, tabs } = created;
  const second = secondTab(created);
  server.judge = () => BUSY;
  await Promise.all([assert.rejects(session.steer("Shorter"), { code: "busy" }), clock.pass(20)]);
  for (const tab of [session, second]) {
    const [{ id, ...signal }] = tab.signals;
    assert.deepEqual([signal.status, signal.code, signal.reason], ["failed", "busy", BUSY.message]);
    assert.equal(signal.payload.parts[0].text, "Shorter");
  }
  second.dismiss(second.signals[0].id);
  clock.advance(10);
  assert.deepEqual([session.signals, tabs.kept.size], [[], 0]);
});

test("a decision that is refused says why and leaves nothing behind", async () => {
  const created = asking();
  const { server, clock, session, tabs } = created;
  const second = secondTab(created);
  server.judge = () => LATE;
  await Promise.all([assert.rejects(session.approve("a1"), LATE), clock.pass(20)]);
  assert.deepEqual([session.signals, second.signals, tabs.kept.size], [[], [], 0]);
  assert.equal(session.approvals.length, 1);
});

test("a decision has room however much else waits", async () => {
  const { network, clock, session } = answering();
  network.state = "refusing";
  network.cut();
  for (let number = 0; number < 100; number += 1) session.send(`${number}`);
  await assert.rejects(session.steer("one more"), { code: "outbox_full" });
  session.cancel();
  assert.equal(session.stopping, true);
});

test("lone surrogates in the user's text are replaced everywhere", () => {
  const { server, clock, session } = asking();
  session.deny("a1", "no \ud800");
  session.toolResult("m_1", "c1", { output: [{ text: "\udc00" }] });
  clock.advance(10);
  const [[, denied], [, result]] = heard(server);
  assert.deepEqual([denied.reason, result.output], ["no \ufffd", [{ text: "\ufffd" }]]);
});

test("a result beyond the server's frame limit is refused by the client", async () => {
  const { clock, session } = answering();
  const refused = session.toolResult("m_1", "c1", { output: "x".repeat(LIMITS.frame_bytes) });
  await Promise.all([assert.rejects(refused, { code: "frame_too_large" }), clock.pass(10)]);
  assert.deepEqual(session.signals, []);
});

test("nothing is sent into a session that is gone", async () => {
  const { server, network, clock, session } = answering();
  server.sendAll({ type: "detached", session: SESSION, error: { code: "expired", message: "over", retryable: false } });
  clock.advance(10);
  for (const act of [() => session.cancel(), () => session.steer("a"), () => session.retry("m_1", "continue")]) {
    await assert.rejects(act(), { code: "expired" });
  }
  assert.equal(network.wires.length, 1);
});

// --- Work ---

test("an agent has work from a signal's acceptance until its response has ended", () => {
  const { server, clock, session } = following();
  const working = [];
  const note = () => (clock.advance(10), working.push(session.working));
  note();
  for (const status of ["accepted", "delivered", "applied"]) {
    server.record(SESSION, recordOf({ id: "s_1", kind: "retry", status, message: "m_1" }));
    if (status === "applied") server.publish(SESSION, "m_1", ...begin("m_1"));
    note();
  }
  server.publish(SESSION, "m_1", ...FINISH);
  note();
  assert.deepEqual(working, [false, true, true, true, false]);
});

test("a decision alone is no work", () => {
  const { server, clock, session } = following();
  server.record(SESSION, recordOf({ id: "s_1", kind: "cancel" }));
  clock.advance(10);
  assert.deepEqual([session.working, session.stopping], [false, true]);
});

test("a session is stopping from the press until the cancel is final", () => {
  const { server, clock, session } = answering();
  session.cancel();
  assert.equal(session.stopping, true);
  clock.advance(10);
  const [{ id }] = session.signals;
  assert.deepEqual([session.stopping, session.working], [true, true]);
  server.publish(SESSION, "m_1", { type: "abort" });
  server.record(SESSION, recordOf({ id, kind: "cancel", status: "applied", message: "m_1" }));
  clock.advance(10);
  assert.deepEqual([session.stopping, session.working], [false, false]);
});

// --- Approvals ---

test("an approval has everything that a decision needs", () => {
  const { session } = asking();
  assert.deepEqual(session.approvals, [
    {
      approval: "a1",
      message: "m_1",
      call: "c1",
      tool: "send_mail",
      input: { to: "ann" },
      reason: "It leaves the house",
      descriptor: DESCRIPTOR,
    },
  ]);
});

test("a decision removes the approval in every tab, at once in one's own browser; a refusal brings it back", () => {
  const created = asking();
  const { server, network, clock, session } = created;
  const second = secondTab(created);
  network.state = "refusing";
  network.cut();
  session.approve("a1").catch(() => {});
  clock.advance(10);
  assert.deepEqual([session.approvals, second.approvals], [[], []]);
  server.judge = () => LATE;
  network.state = "up";
  clock.advance(20_000);
  assert.deepEqual([session.approvals.length, second.approvals.length], [1, 1]);
  server.record(SESSION, recordOf({ id: "s_9", kind: "deny", payload: { approval: "a1", edited: false } }));
  clock.advance(10);
  assert.deepEqual([session.approvals, second.approvals], [[], []]);
});

test("nothing waits in a response that has ended", () => {
  const { server, clock, session } = asking();
  server.publish(SESSION, "m_1", { type: "interrupt", reason: "lease" });
  clock.advance(10);
  assert.deepEqual(session.approvals, []);
});

test("a decided call has the decision, its author and time", () => {
  const { server, clock, session } = asking();
  server.publish(SESSION, "m_1", { type: "tool-input-available", ...CALL, input: { to: "bob" } }, respond(true));
  clock.advance(10);
  const part = session.messages[0].parts.at(-1);
  assert.deepEqual(plain(part), {
    type: "tool-send_mail",
    toolCallId: "c1",
    state: "approval-responded",
    input: { to: "bob" },
    approval: { id: "a1", descriptor: DESCRIPTOR, requestReason: "It leaves the house", approved: true, reason: "Because" },
    callProviderMetadata: { holdfast: DECIDED },
  });
});

test("an approval that no call asks for is refused", async () => {
  const { server, session } = asking();
  await assert.rejects(session.approve("a2"), { code: "no_such_approval", retryable: false });
  assert.deepEqual(heard(server), []);
});

test("a steer is in the response that it was applied in", () => {
  const { server, clock, session } = answering();
  const parts = [{ type: "text", text: "Shorter" }];
  server.publish(SESSION, "m_1", { type: "steering-message", id: "s_1", parts });
  clock.advance(10);
  assert.deepEqual(session.messages[0].parts.at(-1), { type: "steering-message", id: "s_1", parts });
});

test("the actor of the connection is known, also while it is lost", () => {
  const { holdfast, network } = following();
  network.state = "refusing";
  network.cut();
  assert.equal(holdfast.connection.actor, ACTOR);
});
