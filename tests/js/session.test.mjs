// A followed session: state, order, gaps, resets, acknowledgements.

import assert from "node:assert/strict";
import test from "node:test";
import { ATTACH_TIMEOUT_MS } from "../../static/holdfast/session-state.js";
import { LIMITS } from "./support/model-server.mjs";
import { FINISH, SESSION, answer, begin, delta, following, plain, record, shown, world } from "./support/world.mjs";

const framesOf = (server, wanted) => server.received.filter(({ type }) => type === wanted);

function assertSameAsServer({ session, server }) {
  assert.deepEqual(plain(session.messages), plain(server.messages(SESSION)));
}

/** Send a frame past the model's bookkeeping, as a server with a bug or a lost hint would. */
function inject(world, frame) {
  world.network.wire.send(JSON.stringify(frame));
  world.clock.advance(10);
}

function events(cursor, ...events) {
  return { type: "events", session: SESSION, cursor, events };
}

test("a first attach brings the newest messages, the title, and whether there are older ones", () => {
  const created = world();
  const { server, holdfast, clock } = created;
  for (let n = 1; n <= 31; n += 1) server.publish(SESSION, `m_${n}`, ...answer(`m_${n}`, `${n}`));
  const session = holdfast.session(SESSION);
  assert.deepEqual([session.ready, session.messages, session.older], [false, [], false]);
  holdfast.connect();
  clock.advance(10);
  assert.deepEqual([session.ready, session.title, session.older], [true, "A talk", true]);
  assert.deepEqual(shown(session).slice(0, 2), ["complete: 2", "complete: 3"]);
  assert.deepEqual(framesOf(server, "attach"), [{ type: "attach", session: SESSION }]);
  assert.equal(session.caughtUp, null);
});

test("live events change the messages that they name", () => {
  const { server, clock, session } = following();
  const changes = record(session, "change");
  server.publish(SESSION, "m_1", ...begin("m_1"), delta("Hel"));
  clock.advance(10);
  server.publish(SESSION, "m_1", delta("lo"));
  clock.advance(10);
  assert.deepEqual(shown(session), ["streaming: Hello"]);
  assert.deepEqual(changes, [
    ["change", { messages: new Set(["m_1"]), signals: new Set() }],
    ["change", { messages: new Set(["m_1"]), signals: new Set() }],
  ]);
});

/** An answer that is written again, with what followed it. */
function regenerated({ server }) {
  server.publish(SESSION, "u_1", { type: "message", role: "user", parts: [] });
  server.publish(SESSION, "m_1", ...answer("m_1", "One."));
  server.publish(SESSION, "u_2", { type: "message", role: "user", parts: [] });
  return () => {
    const place = { parent: "u_1", replaces: ["m_1", "u_2"] };
    server.beginAt(SESSION, "m_2", place, { type: "start", messageId: "m_2" });
    server.publish(SESSION, "m_2", { type: "text-start", id: "t1" }, delta("Two."), ...FINISH);
  };
}

const idsOf = (messages) => messages.map(({ id }) => id);

for (const replaced of [false, true]) {
  test(`a replaced message leaves the conversation, live and on a resume${replaced ? "; who asked keeps it" : ""}`, () => {
    for (const live of [true, false]) {
      const created = world();
      const { server, holdfast, network, clock } = created;
      const regenerate = regenerated(created);
      holdfast.connect();
      const session = holdfast.session(SESSION, { replaced });
      clock.advance(10);
      assert.deepEqual(idsOf(session.messages), ["u_1", "m_1", "u_2"]);
      const changes = record(session, "change");
      if (!live) network.cut();
      regenerate();
      clock.advance(5_000);
      assert.deepEqual(idsOf(session.messages), ["u_1", "m_2"]);
      assert.deepEqual(idsOf(session.replaced), replaced ? ["m_1", "u_2"] : []);
      const stored = server.messages(SESSION, Infinity, replaced);
      const held = [...session.messages, ...session.replaced].sort((a, b) => a.first_serial - b.first_serial);
      assert.deepEqual(plain(held), plain(stored));
      assert.ok(changes.some(([, { messages }]) => messages.has("m_1") && messages.has("m_2")));
    }
  });
}

test("a replaced message that is older than the loaded ones is skipped", () => {
  const created = world();
  const { server, holdfast, network, clock } = created;
  for (let n = 1; n <= 32; n += 1) server.publish(SESSION, `m_${n}`, ...answer(`m_${n}`, `${n}`));
  holdfast.connect();
  const session = holdfast.session(SESSION, { replaced: true });
  clock.advance(10);
  const changes = record(session, "change");
  network.cut();
  const replaces = Array.from({ length: 32 }, (_, index) => `m_${index + 1}`);
  server.beginAt(SESSION, "m_33", { parent: null, replaces }, { type: "start", messageId: "m_33" });
  clock.advance(5_000);
  assert.deepEqual(idsOf(session.messages), ["m_33"]);
  assert.deepEqual(idsOf(session.replaced), replaces.slice(2));
  assert.ok(changes.some(([, { messages }]) => messages.has("m_1")), "a page that shows it is told");
});

test("one socket follows many sessions, and gives the same object for the same id", () => {
  const { server, holdfast, network, clock, session } = following();
  const other = "session-other-89abcdef";
  server.create(other);
  const second = holdfast.session(other);
  assert.equal(holdfast.session(other), second);
  clock.advance(10);
  server.publish(other, "m_9", ...answer("m_9", "over there"));
  clock.advance(10);
  assert.deepEqual([shown(session), shown(second)], [[], ["complete: over there"]]);
  assert.equal(network.wires.length, 1);
});

test("a duplicate frame changes nothing", () => {
  const created = following();
  const { server, clock, session } = created;
  server.publish(SESSION, "m_1", ...begin("m_1"), delta("once"));
  clock.advance(10);
  const changes = record(session, "change");
  inject(created, events("e1-3", { serial: 3, message: "m_1", chunk: delta("once") }));
  assert.deepEqual(shown(session), ["streaming: once"]);
  assert.deepEqual(changes, []);
});

test("a frame that overlaps is applied from where it continues", () => {
  const created = following();
  const { server, clock, session } = created;
  server.publish(SESSION, "m_1", ...begin("m_1"), delta("a"));
  clock.advance(10);
  const both = [delta("a"), delta("b")].map((chunk, n) => ({ serial: 3 + n, message: "m_1", chunk }));
  inject(created, events("e1-4", ...both));
  assert.deepEqual(shown(session), ["streaming: ab"]);
});

test("a gap is filled by one attach, however many frames follow it", () => {
  const { server, clock, session } = following();
  server.publish(SESSION, "m_1", ...begin("m_1"), delta("one "));
  clock.advance(10);
  server.loses = () => true;
  server.publish(SESSION, "m_1", delta("two "));
  server.loses = () => false;
  for (const word of ["three ", "four ", "five"]) server.publish(SESSION, "m_1", delta(word));
  clock.advance(10);
  assert.deepEqual(shown(session), ["streaming: one two three four five"]);
  assertSameAsServer({ session, server });
  assert.deepEqual(framesOf(server, "attach").slice(1), [
    { type: "attach", session: SESSION, cursor: "e1-3", held: { m_1: [4] } },
  ]);
});

test("a last frame that was lost is noticed by the heartbeat's tail, after a second of grace", () => {
  const { server, clock, session } = following();
  server.loses = () => true;
  server.publish(SESSION, "m_1", ...answer("m_1", "lost"));
  server.heartbeat();
  clock.advance(950);
  assert.deepEqual(shown(session), []);
  clock.advance(100);
  assert.deepEqual(shown(session), ["complete: lost"]);
});

test("a tail whose frame comes within a second causes no attach", () => {
  const created = following();
  const { server, clock, session } = created;
  inject(created, { type: "heartbeat", tails: { [SESSION]: "e1-4" } });
  server.publish(SESSION, "m_1", ...answer("m_1"));
  clock.advance(5_000);
  assert.deepEqual(shown(session), ["complete: "]);
  assert.equal(framesOf(server, "attach").length, 1);
});

test("a tail of another epoch is asked about at once", () => {
  const { server, clock, session } = following();
  const resets = record(session, "reset");
  server.changeEpoch(SESSION);
  server.heartbeat();
  clock.advance(10);
  assert.deepEqual(resets, [["reset", "epoch-changed"]]);
});

for (const [reason, happen] of [
  ["epoch-changed", (server) => server.changeEpoch(SESSION)],
  ["ahead", (server) => server.restore(SESSION, 1)],
  ["trimmed", (server) => {
    server.publish(SESSION, "m_3", ...answer("m_3", "missed and gone"));
    server.sessions.get(SESSION).trimmed = 15;
    server.publish(SESSION, "m_4", ...answer("m_4", "new"));
  }],
  ["too-far", (server) => {
    server.publish(SESSION, "m_3", ...answer("m_3", ...Array(500).fill("many ")));
  }],
]) {
  test(`a reset says ${reason}, replaces the state and keeps unsent signals`, () => {
    const { server, network, clock, session } = following();
    server.publish(SESSION, "m_1", ...answer("m_1", "one"));
    server.publish(SESSION, "m_2", ...answer("m_2", "two"));
    clock.advance(10);
    const resets = record(session, "reset");
    const changes = record(session, "change");
    network.state = "refusing";
    network.cut();
    happen(server);
    session.send("unsent");
    network.state = "up";
    clock.advance(2_000);

    assert.deepEqual(resets, [["reset", reason]]);
    assertSameAsServer({ session, server });
    assert.equal(session.messages.at(-1).parts[0].text, "unsent");
    const told = new Set(changes.flatMap(([, { messages }]) => [...messages]));
    for (const id of ["m_1", "m_2"]) assert.ok(told.has(id), `${id} changed or went`);
    assert.equal(session.caughtUp, null);
  });
}

test("a session acknowledges after each attached, then by bytes, then by time", () => {
  const { server, clock } = following();
  const acks = () => framesOf(server, "ack").map(({ cursor }) => cursor);
  assert.deepEqual(acks(), ["e1-0"]);

  server.publish(SESSION, "m_1", ...begin("m_1"), delta("x".repeat(LIMITS.ack_bytes)));
  clock.advance(10);
  assert.deepEqual(acks(), ["e1-0", "e1-3"]);

  server.publish(SESSION, "m_1", delta("little"));
  clock.advance(300);
  server.publish(SESSION, "m_1", delta("more"));
  clock.advance(190);
  assert.deepEqual(acks(), ["e1-0", "e1-3"]);
  clock.advance(20);
  assert.deepEqual(acks(), ["e1-0", "e1-3", "e1-5"]);
  clock.advance(10_000);
  assert.equal(acks().length, 3);
});

test("bytes are counted as the server counts them, in UTF-8", () => {
  const { server, clock } = following();
  server.publish(SESSION, "m_1", ...begin("m_1"), delta("字".repeat(LIMITS.ack_bytes / 3)));
  clock.advance(10);
  assert.deepEqual(framesOf(server, "ack").at(-1), {
    type: "ack",
    session: SESSION,
    cursor: "e1-3",
    held: { m_1: [333] },
  });
});

test("a reader that was behind accepts the state that it is sent unasked", () => {
  const { server, clock, session } = following();
  server.publish(SESSION, "m_1", ...begin("m_1"));
  for (let n = 0; n < 20; n += 1) server.publish(SESSION, "m_1", delta(`${n} `.repeat(100)));
  clock.advance(1_000);
  server.publish(SESSION, "m_1", ...FINISH);
  clock.advance(1_000);
  assertSameAsServer({ session, server });
  assert.equal(framesOf(server, "attach").length, 1);
});

test("state that builds on missing parts causes an attach with what is held, then one from scratch", () => {
  const created = following();
  const { server, network, clock, session } = created;
  server.publish(SESSION, "m_1", ...begin("m_1"), delta("Hello"));
  clock.advance(10);
  const patch = { ...plain(server.messages(SESSION))[0], from: 0, at: 400 };
  const unfit = { type: "attached", session: SESSION, cursor: "e1-9", resumed: true, reason: null, messages: [patch], signals: [] };
  network.wire.send(JSON.stringify(unfit));
  inject(created, unfit);
  assertSameAsServer({ session, server });
  assert.deepEqual(framesOf(server, "attach").slice(1), [
    { type: "attach", session: SESSION, cursor: "e1-3", held: { m_1: [5] } },
    { type: "attach", session: SESSION },
  ]);
});

test("an event that cannot be applied causes an attach from scratch", () => {
  const created = following();
  const { server, clock, session } = created;
  server.publish(SESSION, "m_1", ...begin("m_1"), delta("Hello"));
  clock.advance(10);
  inject(created, events("e1-4", { serial: 4, message: "m_1", chunk: { type: "of-a-later-version" } }));
  assertSameAsServer({ session, server });
  assert.deepEqual(framesOf(server, "attach").at(-1), { type: "attach", session: SESSION });
});

test("state that is older than the live events is dropped", () => {
  const created = following();
  const { server, clock, session } = created;
  server.publish(SESSION, "m_1", ...begin("m_1"), delta("Hello"));
  clock.advance(10);
  inject(created, { type: "attached", session: SESSION, cursor: "e1-2", resumed: true, reason: null, messages: [], signals: [] });
  server.publish(SESSION, "m_1", delta("!"));
  clock.advance(10);
  assert.deepEqual(shown(session), ["streaming: Hello!"]);
  assert.equal(framesOf(server, "attach").length, 1);
});

test("an answer to an attachment before this one is dropped", () => {
  const created = following();
  const { server, holdfast, session } = created;
  server.publish(SESSION, "m_1", ...answer("m_1", "fresh"));
  session.detach();
  const again = holdfast.session(SESSION);
  inject(created, { type: "attached", session: SESSION, cursor: "e1-1", resumed: true, reason: null, messages: [], signals: [] });
  assert.deepEqual(shown(again), ["complete: fresh"]);
  assertSameAsServer({ session: again, server });
});

test("events of a message that is not loaded are ignored, and a resume brings the message in its place", () => {
  const { server, holdfast, network, clock } = world();
  server.publish(SESSION, "m_old", ...begin("m_old"));
  for (let n = 1; n <= 30; n += 1) server.publish(SESSION, `m_${n}`, ...answer(`m_${n}`, `${n}`));
  holdfast.connect();
  const session = holdfast.session(SESSION);
  clock.advance(10);
  server.publish(SESSION, "m_old", delta("late"));
  clock.advance(10);
  assert.equal(session.messages.length, 30);
  assert.equal(framesOf(server, "attach").length, 1);
  network.cut();
  server.publish(SESSION, "m_old", ...FINISH);
  clock.advance(10);
  assert.equal(session.messages[0].id, "m_old");
  assertSameAsServer({ session, server });
});

test("an unanswered attach is sent again", () => {
  const { server, network, clock, session } = following();
  server.publish(SESSION, "m_1", ...begin("m_1"));
  clock.advance(10);
  const { wire } = network;
  const receive = wire.onframe;
  wire.onframe = () => {};
  inject({ network, clock }, events("e1-9", { serial: 9, message: "m_1", chunk: delta("!") }));
  wire.onframe = receive;
  server.publish(SESSION, "m_1", delta("a"));
  clock.advance(ATTACH_TIMEOUT_MS + 10);
  assertSameAsServer({ session, server });
});

test("an attach that is refused for now is tried again, backing off", () => {
  const created = following();
  const { server, network, clock, session } = created;
  const error = { type: "error", session: SESSION, code: "storage_unavailable", message: "later", retryable: true };
  const { wire } = network;
  const receive = wire.onframe;
  let refusals = 0;
  wire.onframe = (text) => {
    if (JSON.parse(text).type !== "attach" || refusals === 3) return receive(text);
    refusals += 1;
    wire.send(JSON.stringify(error));
  };
  server.changeEpoch(SESSION);
  server.publish(SESSION, "m_1", ...answer("m_1", "there"));
  server.heartbeat();
  clock.advance(200);
  assert.equal(refusals, 1);
  clock.advance(250 + 500 + 1_000);
  assert.equal(refusals, 3);
  assert.equal(session.gone, null);
  assert.deepEqual(shown(session), ["complete: there"]);
});

test("a server that doesn't know of the attachment is attached to again", () => {
  const created = following();
  const { server } = created;
  inject(created, { type: "error", session: SESSION, code: "not_attached", message: "attach first", retryable: false });
  assert.equal(framesOf(server, "attach").length, 2);
  assert.equal(created.session.gone, null);
});

test("a cursor that the server can't read is given up", () => {
  const created = following();
  const { server, session } = created;
  server.publish(SESSION, "m_1", ...answer("m_1", "kept"));
  inject(created, { type: "error", session: SESSION, code: "bad_cursor", message: "no cursor", retryable: false });
  assert.deepEqual(framesOf(server, "attach").at(-1), { type: "attach", session: SESSION });
  assertSameAsServer({ session, server });
});

test("a missing session is gone, and says why", async () => {
  const { holdfast, clock } = following();
  const session = holdfast.session("no-such-session-012345");
  const changes = record(session, "change");
  const early = session.send("into the void");
  clock.advance(10);
  assert.equal(session.gone.code, "not_found");
  assert.ok(changes.length > 0);
  await assert.rejects(early, { code: "not_found" });
  await assert.rejects(session.send("again"), { code: "not_found" });
});

test("a session that is no longer readable stays gone over a reconnect", () => {
  const created = following();
  const { server, network, clock, session } = created;
  inject(created, { type: "detached", session: SESSION, error: { code: "expired", message: "over", retryable: false } });
  assert.equal(session.gone.code, "expired");
  network.cut();
  clock.advance(10_000);
  assert.equal(framesOf(server, "attach").length, 1);
});

test("a detached session receives nothing more, and can be followed again", () => {
  const { server, holdfast, network, clock, session } = following();
  session.detach();
  server.publish(SESSION, "m_1", ...answer("m_1", "unseen"));
  network.cut();
  clock.advance(10);
  assert.deepEqual(shown(session), []);
  assert.equal(framesOf(server, "attach").length, 1);
  session.send("for the next time");
  clock.advance(10);
  assert.equal(framesOf(server, "signal").length, 0);
  const again = holdfast.session(SESSION);
  assert.notEqual(again, session);
  clock.advance(10);
  assert.deepEqual(shown(again), ["complete: unseen", "complete: for the next time"]);
});
