// The user's messages: shown at once, stored once, in order, through lost connections, reloads and two tabs.

import assert from "node:assert/strict";
import test from "node:test";
import { MAX_SIGNALS } from "../../static/holdfast/outbox.js";
import { LIMITS } from "./support/model-server.mjs";
import { SESSION, following, openPage, record, shown } from "./support/world.mjs";

const texts = (server) => server.messages(SESSION).map(({ parts }) => parts[0].text);
const BAD = { code: "bad_signal", message: "The signal is malformed", retryable: false };
const FULL = { code: "storage_unavailable", message: "later", retryable: true };

test("a message is shown at once with its status, and is complete as soon as it is stored", async () => {
  const { clock, session } = following();
  const receipts = record(session, "receipt");
  const seen = new Set();
  session.addEventListener("change", () => seen.add(shown(session).join()));
  const receipt = session.send("Hello");
  assert.deepEqual(shown(session), ["waiting: Hello"]);
  clock.advance(10);
  assert.deepEqual(shown(session), ["complete: Hello"]);
  const [{ id }] = session.messages;
  assert.match(id, /^[A-Za-z0-9_-]{8,64}$/);
  assert.deepEqual(await receipt, { id, status: "accepted", serial: 1 });
  assert.deepEqual(receipts, [["receipt", { id, status: "accepted", serial: 1 }]]);
  assert.deepEqual([...seen], ["waiting: Hello", "sending: Hello", "complete: Hello"]);
});

test("a message that is sent and stored changes its revision with its status, and only upwards", () => {
  const { clock, server, session } = following();
  const seen = [];
  session.addEventListener("change", () => session.messages.forEach(({ status, revision }) => seen.push([status, revision])));
  session.send("Hello");
  clock.advance(10);
  server.changeEpoch(SESSION);
  server.heartbeat();
  clock.advance(1_100);
  const revisions = seen.map(([, revision]) => revision);
  assert.deepEqual([...new Set(seen.map(([status]) => status))], ["waiting", "sending", "complete"]);
  assert.deepEqual(revisions, revisions.toSorted((a, b) => a - b));
  const statusesOf = (revision) => new Set(seen.filter((each) => each[1] === revision).map(([status]) => status));
  for (const revision of revisions) assert.equal(statusesOf(revision).size, 1, `revision ${revision}`);
});

test("a receipt that overtakes its event keeps the message shown", () => {
  const { server, clock, session } = following();
  server.loses = () => true;
  session.send("Hello");
  clock.advance(10);
  assert.deepEqual(shown(session), ["sending: Hello"]);
  server.heartbeat();
  clock.advance(1_100);
  assert.deepEqual(shown(session), ["complete: Hello"]);
});

test("messages written offline are sent in order when the connection is back", async () => {
  const { server, network, clock, session } = following();
  network.state = "refusing";
  network.cut();
  const sent = ["one", "two", "three"].map((text) => session.send(text));
  clock.advance(60_000);
  assert.deepEqual(shown(session), ["waiting: one", "waiting: two", "waiting: three"]);
  network.state = "up";
  clock.advance(16_000);
  assert.deepEqual(texts(server), ["one", "two", "three"]);
  assert.deepEqual((await Promise.all(sent)).map(({ serial }) => serial), [1, 2, 3]);
});

test("a signal whose receipt was lost is sent again and stored once", async () => {
  const { server, network, clock, session } = following();
  const receipt = session.send("once");
  clock.advance(2);
  assert.deepEqual(texts(server), ["once"]);
  network.cut();
  clock.advance(10);
  assert.equal((await receipt).serial, 1);
  assert.deepEqual(texts(server), ["once"]);
  assert.equal(server.received.filter(({ type }) => type === "signal").length, 2);
});

test("a reload loses nothing that was waiting, and sends it once", () => {
  const created = following();
  const { server, network, clock, session, holdfast } = created;
  network.state = "refusing";
  network.cut();
  session.send("before the reload");
  holdfast.close();

  network.state = "up";
  const after = openPage(created);
  const again = after.holdfast.session(SESSION);
  clock.advance(1);
  assert.deepEqual(shown(again), ["waiting: before the reload"]);
  after.holdfast.connect();
  clock.advance(20);
  assert.deepEqual(texts(server), ["before the reload"]);
  assert.deepEqual(shown(again), ["complete: before the reload"]);
  assert.equal(created.tabs.kept.size, 0);
});

test("a reload between storing and receipt does not send it twice", () => {
  const created = following();
  const { server, clock, session, holdfast } = created;
  session.send("once");
  clock.advance(2);
  holdfast.close();
  const after = openPage(created);
  const again = after.holdfast.session(SESSION);
  after.holdfast.connect();
  clock.advance(20);
  assert.deepEqual(texts(server), ["once"]);
  assert.deepEqual(shown(again), ["complete: once"]);
});

/** The text of each signal that came to the server, repeated ones too. */
function signals({ received }) {
  return received.filter(({ type }) => type === "signal").map(({ payload }) => payload.parts[0].text);
}

function twoTabs() {
  const created = following();
  const other = openPage(created);
  other.holdfast.connect();
  const second = other.holdfast.session(SESSION);
  created.clock.advance(10);
  return { ...created, other, second };
}

function takeNetworkAway({ network, clock }) {
  network.state = "refusing";
  network.cut();
  clock.advance(10);
}

test("messages typed offline in two tabs show in both, and one tab sends all, in the order of typing", async () => {
  const created = twoTabs();
  const { server, network, clock, session, second } = created;
  takeNetworkAway(created);
  const sent = ["one", "two", "three", "four"].map((text, index) => {
    clock.advance(10);
    return [session, second][index % 2].send(text);
  });
  clock.advance(10);
  const waiting = ["waiting: one", "waiting: two", "waiting: three", "waiting: four"];
  for (const tab of [session, second]) assert.deepEqual(shown(tab), waiting);
  network.state = "up";
  clock.advance(20_000);
  assert.deepEqual(signals(server), ["one", "two", "three", "four"]);
  assert.deepEqual((await Promise.all(sent)).map(({ serial }) => serial), [1, 2, 3, 4]);
  const complete = waiting.map((text) => text.replace("waiting", "complete"));
  for (const tab of [session, second]) assert.deepEqual(shown(tab), complete);
});

test("tabs that cannot reach each other both send, and each message is stored once", () => {
  const created = twoTabs();
  const { server, network, clock, session, second, tabs } = created;
  tabs.areApart = true;
  takeNetworkAway(created);
  session.send("from the first tab");
  clock.advance(10);
  assert.deepEqual(shown(second), []);
  second.send("from the second tab");
  network.state = "up";
  clock.advance(20_000);
  assert.deepEqual(texts(server).sort(), ["from the first tab", "from the second tab"]);
});

test("a closed tab leaves its unsent messages to another", () => {
  const created = twoTabs();
  const { server, network, clock, session, second, holdfast } = created;
  takeNetworkAway(created);
  session.send("left behind");
  clock.advance(10);
  session.detach();
  holdfast.close();
  network.state = "up";
  clock.advance(20_000);
  assert.deepEqual(signals(server), ["left behind"]);
  assert.deepEqual(shown(second), ["complete: left behind"]);
});

test("a tab that sleeps with the lock does not block the others", () => {
  const created = twoTabs();
  const { server, network, clock, session, second } = created;
  const [asleep] = network.wires;
  const hear = asleep.onframe;
  asleep.onframe = (text) => JSON.parse(text).type !== "signal" && hear(text);
  session.send("never heard");
  clock.advance(10);
  second.send("mine");
  clock.advance(4_900);
  assert.deepEqual(signals(server), []);
  clock.advance(200);
  assert.deepEqual(signals(server), ["never heard", "mine"]);
  assert.deepEqual(shown(second), ["complete: never heard", "complete: mine"]);
});

test("a refused message stays over a reload and in every tab, until it is dismissed in one", () => {
  const created = twoTabs();
  const { server, clock, session, second, tabs } = created;
  server.judge = () => BAD;
  session.send("bad").catch(() => {});
  clock.advance(10);
  const third = openPage(created).holdfast.session(SESSION);
  clock.advance(10);
  for (const tab of [session, second, third]) assert.deepEqual(shown(tab), ["failed: bad"]);
  const [{ id, reason }] = third.messages;
  assert.equal(reason, BAD.message);
  assert.deepEqual(signals(server), ["bad"]);
  third.dismiss(id);
  clock.advance(10);
  for (const tab of [session, second, third]) assert.deepEqual(shown(tab), []);
  assert.equal(tabs.kept.size, 0);
});

test("a waiting message cannot be dismissed", () => {
  const created = following();
  takeNetworkAway(created);
  const { session } = created;
  session.send("waits");
  session.dismiss(session.messages[0].id);
  assert.deepEqual(shown(session), ["waiting: waits"]);
});

test("a message beyond the outbox's limit is refused and not kept", async () => {
  const created = following();
  const { session, tabs } = created;
  takeNetworkAway(created);
  for (let number = 1; number <= MAX_SIGNALS; number += 1) session.send(`${number}`);
  await assert.rejects(session.send("one more"), { code: "outbox_full", retryable: true });
  assert.equal(session.messages.length, MAX_SIGNALS);
  assert.equal(tabs.kept.size, MAX_SIGNALS);
});

test("nothing is kept of a session that is gone", async () => {
  const created = following();
  const { server, clock, session, network, tabs } = created;
  takeNetworkAway(created);
  const sent = session.send("too late");
  server.sessions.delete(SESSION);
  network.state = "up";
  clock.advance(20_000);
  await assert.rejects(sent, { code: "not_found" });
  assert.equal(tabs.kept.size, 0);
});

test("a refusal for now keeps the message waiting", async () => {
  const { server, clock, session } = following();
  let refusals = 0;
  server.judge = () => (refusals++ < 2 ? FULL : null);
  const receipt = session.send("patience");
  clock.advance(100);
  assert.deepEqual(shown(session), ["waiting: patience"]);
  clock.advance(2_000);
  assert.equal((await receipt).status, "accepted");
  assert.deepEqual(texts(server), ["patience"]);
});

test("a permanent refusal rejects, stays visible, and lets the next message go", async () => {
  const { server, clock, session } = following();
  server.judge = (id, { parts: [{ text }] }) => (text === "bad" ? BAD : null);
  const receipts = record(session, "receipt");
  const refused = session.send("bad");
  session.send("good");
  clock.advance(20);
  await assert.rejects(refused, { code: "bad_signal", message: "The signal is malformed", retryable: false });
  assert.deepEqual(shown(session), ["complete: good", "failed: bad"]);
  assert.equal(session.messages[1].reason, "The signal is malformed");
  assert.deepEqual(receipts.map(([, { status, error }]) => [status, error?.code]), [
    ["rejected", "bad_signal"],
    ["accepted", undefined],
  ]);
});

test("an error that names the signal is its refusal", async () => {
  const { network, clock, session } = following();
  network.wire.onframe = () => {};
  const refused = session.send("Hello");
  const { id } = session.messages[0];
  network.wire.send(JSON.stringify({ type: "error", session: SESSION, id, ...BAD }));
  clock.advance(10);
  await assert.rejects(refused, { code: "bad_signal" });
});

test("a message beyond the server's frame limit is refused by the client: the server would close the connection", async () => {
  const { server, network, clock, session } = following();
  network.cut();
  const refused = session.send("x".repeat(LIMITS.frame_bytes));
  session.send("short");
  clock.advance(20);
  await assert.rejects(refused, { code: "frame_too_large" });
  assert.deepEqual(texts(server), ["short"]);
  assert.equal(network.wires.length, 2);
});

test("a lone surrogate, which the server would refuse, is replaced", () => {
  const { server, clock, session } = following();
  session.send("a\ud800b 😀");
  clock.advance(10);
  assert.deepEqual(texts(server), ["a\ufffdb 😀"]);
});

test("a receipt that never comes is asked for again", () => {
  const { server, network, clock, session } = following();
  clock.advance(16_000);
  const receive = network.wire.onframe;
  network.wire.onframe = () => {};
  session.send("Hello");
  clock.advance(5_000);
  network.wire.onframe = receive;
  clock.advance(5_100);
  assert.deepEqual(texts(server), ["Hello"]);
});

test("an accepted message unknown to a restored server does not wait forever", async () => {
  const { server, network, clock, session } = following();
  server.loses = () => true;
  const receipt = session.send("Hello");
  clock.advance(10);
  await receipt;
  server.restore(SESSION, 1);
  server.changeEpoch(SESSION);
  network.cut();
  clock.advance(10);
  assert.deepEqual(shown(session), []);
});
