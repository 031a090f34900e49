// Dead and silent connections: how the client detects and replaces them on each transport.

import assert from "node:assert/strict";
import test from "node:test";
import { CHECK_MS, DOUBT_MS, BACKGROUND_AFTER_MS } from "../../static/holdfast/client.js";
import { GREETING_MS } from "../../static/holdfast/transport-choice.js";
import { FLUSH_MS, POOL, IDLE_POLL_MS } from "../../static/holdfast/network/http.js";
import {
  FINISH, POLL, SESSION, STREAM, answer, assertSameAsServer, begin, delta, followingAnyhow, openPage, record, shown,
} from "./support/world.mjs";

for (const [transport, blocks] of [["websocket", {}], ["stream", STREAM], ["poll", POLL]]) {
  test(`a dead ${transport} is replaced within a second of the page becoming visible, seamlessly`, async () => {
    const world = await followingAnyhow({ blocks });
    const { holdfast, server, network, page, clock, session } = world;
    const told = record(holdfast, "connection");
    const caughtUp = record(session, "caught-up");
    server.publish(SESSION, "m_1", ...begin("m_1"));
    await clock.pass(200);
    network.freeze();
    server.publish(SESSION, "m_1", delta("meanwhile"), ...FINISH);
    page.document.dispatchEvent(new Event("visibilitychange"));
    await clock.pass(DOUBT_MS + 300);
    assertSameAsServer(world);
    assert.deepEqual(caughtUp.map(([, { events }]) => events).filter((events) => events), [3]);
    assert.deepEqual(told.map(([, { state }]) => state).filter((state) => state !== "connected"), []);
  });

  test(`a dead ${transport} on a dead network is reported lost within two seconds`, async () => {
    const { holdfast, network, page, clock } = await followingAnyhow({ blocks });
    network.freeze();
    network.state = "hanging";
    page.document.dispatchEvent(new Event("visibilitychange"));
    await clock.pass(CHECK_MS + 10);
    assert.equal(holdfast.connection.state, "connecting");
  });

  test(`a silent ${transport} is replaced after its heartbeats are missed`, async () => {
    const world = await followingAnyhow({ blocks });
    world.network.freeze();
    world.server.publish(SESSION, "m_1", ...answer("m_1", "meanwhile"));
    await world.clock.pass(36_000);
    assert.equal(world.holdfast.connection.state, "connected");
    assertSameAsServer(world);
  });
}

for (const [transport, blocks] of [["stream", STREAM], ["poll", POLL]]) {
  test(`a silent ${transport} whose browser has only dead connections left is replaced as soon, and leaves none`, async () => {
    const world = await followingAnyhow({ blocks });
    world.network.freeze();
    world.network.deadIdle = POOL - 1;
    world.server.publish(SESSION, "m_1", ...answer("m_1", "meanwhile"));
    await world.clock.pass(36_000);
    assert.equal(world.holdfast.connection.state, "connected");
    assertSameAsServer(world);
    await world.clock.pass(FLUSH_MS);
    assert.ok(world.network.requests.every(({ frozen, isOpen }) => !(frozen && isOpen)));
  });
}

test("another stream that hangs on a dead connection has the others given up too", async () => {
  const { holdfast, server, network, clock } = await followingAnyhow({ blocks: STREAM });
  server.create("another-session-000001");
  network.deadIdle = POOL - 1;
  const another = holdfast.session("another-session-000001");
  await clock.pass(GREETING_MS + 20);
  assert.ok(another.ready);
  await clock.pass(FLUSH_MS);
  assert.deepEqual(network.requests.filter(({ isOpen }) => isOpen).map(({ name }) => name), ["stream"]);
});

test("a socket that fell silent asks nothing of HTTP", async () => {
  const { holdfast, network, clock } = await followingAnyhow();
  network.freeze();
  await clock.pass(36_000);
  assert.equal(holdfast.connection.state, "connected");
  assert.deepEqual(network.requests, []);
});

test("a message that isn't confirmed in time starts a check", async () => {
  const { server, network, clock, session } = await followingAnyhow();
  network.freeze();
  session.send("Hello");
  await clock.pass(3_000 + DOUBT_MS + 50);
  assert.deepEqual(server.messages(SESSION).map(({ parts }) => parts[0].text), ["Hello"]);
});

test("another kind of network starts a check, a change in its speed doesn't", async () => {
  const created = await followingAnyhow();
  created.holdfast.close();
  const { holdfast, page } = openPage(created);
  page.navigator = { connection: Object.assign(new EventTarget(), { type: "wifi", effectiveType: "4g", rtt: 50 }) };
  holdfast.connect();
  await created.clock.pass(20);
  const pings = () => created.server.received.filter(({ type }) => type === "ping").length;
  page.navigator.connection.rtt = 100;
  page.navigator.connection.dispatchEvent(new Event("change"));
  await created.clock.pass(20);
  assert.equal(pings(), 0);
  page.navigator.connection.type = "cellular";
  page.navigator.connection.dispatchEvent(new Event("change"));
  await created.clock.pass(20);
  assert.equal(pings(), 1);
});

for (const [transport, blocks] of [["stream", STREAM], ["poll", POLL]]) {
  test(`a hidden page saves its ${transport}, and is back at once when it is visible`, async () => {
    const world = await followingAnyhow({ blocks });
    const { holdfast, server, network, page, clock, session } = world;
    page.document.hidden = true;
    page.document.dispatchEvent(new Event("visibilitychange"));
    await clock.pass(BACKGROUND_AFTER_MS + 100);
    const told = record(holdfast, "connection");
    const polls = () => network.requests.filter(({ name }) => name === "poll").length;
    const before = polls();
    server.publish(SESSION, "m_1", ...begin("m_1"), delta("unseen "));
    await clock.pass(4 * IDLE_POLL_MS);
    assert.ok(network.requests.every(({ isOpen }) => !isOpen));
    assert.ok(polls() - before <= 4, `${polls() - before}`);
    assert.deepEqual(shown(session), ["streaming: unseen "]);
    server.publish(SESSION, "m_1", delta("seen"), ...FINISH);
    page.document.hidden = false;
    page.document.dispatchEvent(new Event("visibilitychange"));
    await clock.pass(200);
    assert.deepEqual(shown(session), ["complete: unseen seen"]);
    assert.equal(network.requests.at(-1).name, transport);
    assert.ok(network.requests.at(-1).isOpen);
    assert.deepEqual(told.filter(([, { state }]) => state !== "connected"), []);
  });
}

test("a closed client watches nothing", async () => {
  const { holdfast, network, page, clock } = await followingAnyhow({ blocks: STREAM });
  holdfast.close();
  await clock.pass(2_000);
  page.dispatchEvent(new Event("online"));
  await clock.pass(600_000);
  assert.equal(network.requests.length, 1);
  assert.equal(network.wires.length, 0);
});
