// Transports over networks that block some: which one is chosen, how soon, and seamless changes.

import assert from "node:assert/strict";
import test from "node:test";
import { FIRST_CHECK_MS, GREETING_MS, MEMORY_MS } from "../../static/holdfast/transport-choice.js";
import {
  FINISH, POLL, SESSION, STREAM, answer, assertSameAsServer, begin, delta, followingAnyhow, openPage, record, shown,
} from "./support/world.mjs";

for (const [transport, blocks] of [["websocket", {}], ["stream", STREAM], ["poll", POLL]]) {
  test(`over ${transport} an answer streams in, and a message goes out`, async () => {
    const world = await followingAnyhow({ blocks });
    const { holdfast, server, clock, session } = world;
    assert.equal(holdfast.connection.state, "connected");
    assert.equal(holdfast.connection.transport, transport);
    server.publish(SESSION, "m_1", ...begin("m_1"), delta("Hello "));
    await clock.pass(200);
    assert.deepEqual(shown(session), ["streaming: Hello "]);
    const sent = session.send("And me");
    await clock.pass(200);
    assert.equal((await sent).status, "accepted");
    server.publish(SESSION, "m_1", delta("world"), ...FINISH);
    await clock.pass(200);
    assert.deepEqual(shown(session), ["complete: Hello world", "complete: And me"]);
    assertSameAsServer(world);
  });
}

// --- Choosing ---

test("a refused upgrade moves on at once, and says why", async () => {
  const { holdfast, network, clock } = await followingAnyhow({ blocks: STREAM });
  const { transport, transportReason, transportSince, state } = holdfast.connection;
  assert.deepEqual([state, transport, transportReason.code], ["connected", "stream", "websocket_refused"]);
  assert.ok(clock.now() - transportSince < 20);
  assert.deepEqual(network.requests.map(({ name }) => name), ["stream"]);
});

test("a stream that is held back is a long poll after four seconds, without another state", async () => {
  const world = await followingAnyhow({ blocks: { websocket: "refusing", stream: "hanging" } });
  const states = record(world.holdfast, "connection");
  assert.equal(world.holdfast.connection.state, "connecting");
  await world.clock.pass(GREETING_MS);
  assert.deepEqual(states.map(([, { state }]) => state), ["connected"]);
  assert.equal(world.holdfast.connection.transport, "poll");
  assert.equal(world.holdfast.connection.transportReason.code, "stream_silent");
});

test("the answer of a proxy is a refusal like any other", async () => {
  for (const status of [400, 401, 403, 407, 502]) {
    const { holdfast } = await followingAnyhow({ blocks: { websocket: "refusing", stream: status } });
    assert.deepEqual([holdfast.connection.state, holdfast.connection.transport], ["connected", "poll"]);
  }
});

test("when every transport fails the server is away, and nothing is remembered", async () => {
  const { holdfast, network, clock, storage } = await followingAnyhow({ blocks: { ...POLL, poll: "refusing" } });
  assert.equal(storage.getItem("holdfast.transport"), null);
  assert.equal(holdfast.connection.state, "disconnected");
  assert.equal(holdfast.connection.transport, null);
  network.blocks = {};
  await clock.pass(2_000);
  assert.equal(holdfast.connection.transport, "websocket");
});

test("the transport that worked is remembered for a day, by the next page too", async () => {
  const world = await followingAnyhow({ blocks: STREAM });
  world.holdfast.close();
  const later = async () => {
    const { holdfast } = openPage(world);
    holdfast.connect();
    await world.clock.pass(20);
    const { transport, transportReason } = holdfast.connection;
    holdfast.close();
    return [transport, transportReason?.code];
  };
  world.network.blocks = {};
  assert.deepEqual(await later(), ["stream", "remembered"]);
  await world.clock.pass(MEMORY_MS + 1_000);
  assert.deepEqual(await later(), ["websocket", undefined]);
});

test("malformed memory is ignored", async () => {
  for (const text of ["{", "7", '"poll"', '{"name":"pigeon","until":9e15}']) {
    const world = await followingAnyhow();
    world.storage.setItem("holdfast.transport", text);
    const { holdfast } = openPage(world);
    holdfast.connect();
    await world.clock.pass(20);
    assert.equal(holdfast.connection.transport, "websocket");
  }
});

test("a remembered transport that no longer works is left", async () => {
  const world = await followingAnyhow({ blocks: POLL });
  world.holdfast.close();
  world.network.blocks = { poll: "refusing", stream: "refusing" };
  const { holdfast } = openPage(world);
  holdfast.connect();
  await world.clock.pass(20);
  assert.equal(holdfast.connection.transport, "websocket");
});

test("the client returns to a socket seamlessly while an answer streams", async () => {
  const world = await followingAnyhow({ blocks: STREAM });
  const { holdfast, server, network, clock, session } = world;
  server.publish(SESSION, "m_1", ...begin("m_1"));
  const told = record(holdfast, "connection");
  network.blocks = {};
  for (let word = 0; word < 150; word += 1) {
    server.publish(SESSION, "m_1", delta(`${word} `));
    await clock.pass(100);
  }
  server.publish(SESSION, "m_1", ...FINISH);
  await clock.pass(100);
  assert.deepEqual(told.map(([, { state, transport }]) => [state, transport]), [["connected", "websocket"]]);
  assert.equal(holdfast.connection.transportReason, null);
  assert.ok(network.requests.every(({ isOpen }) => !isOpen));
  assertSameAsServer(world);
});

test("the client checks for a better transport with backoff, and at once on another network", async () => {
  const { holdfast, network, clock, page } = await followingAnyhow({ blocks: STREAM });
  const tried = [];
  network.stateOf = (name) => (name === "websocket" && tried.push(clock.now()), network.blocks[name] ?? "up");
  await clock.pass(75_000);
  const [first, second, third] = tried;
  assert.deepEqual([second - first, third - second].map((ms) => Math.round(ms / FIRST_CHECK_MS)), [2, 4]);
  network.blocks = {};
  page.dispatchEvent(new Event("online"));
  await clock.pass(20);
  assert.equal(holdfast.connection.transport, "websocket");
});

test("from long poll a stream is better too", async () => {
  const { holdfast, network, clock } = await followingAnyhow({ blocks: POLL });
  network.blocks = STREAM;
  await clock.pass(FIRST_CHECK_MS + 20);
  assert.equal(holdfast.connection.transport, "stream");
  assert.equal(holdfast.connection.transportReason.code, "websocket_refused");
});

test("a server that refuses for now is not taken for a bad network", async () => {
  const { holdfast, network, server, clock } = await followingAnyhow();
  network.accept = (wire) => {
    wire.send(JSON.stringify({ type: "error", code: "too_many_connections", message: "Close some", retryable: true }));
    wire.close(4429);
  };
  network.cut();
  await clock.pass(3_000);
  assert.equal(holdfast.connection.reason.code, "too_many_connections");
  assert.deepEqual(network.requests, []);
  assert.equal(server.received.filter(({ type }) => type === "attach").length, 1);
});

// --- Streams and polls ---

test("a page that follows nothing yet is connected, and follows what it opens then", async () => {
  for (const blocks of [STREAM, POLL]) {
    const world = await followingAnyhow({ blocks });
    world.holdfast.close();
    const { holdfast } = openPage(world);
    holdfast.connect();
    await world.clock.pass(20);
    assert.equal(holdfast.connection.state, "connected");
    const session = holdfast.session(SESSION);
    world.server.publish(SESSION, "m_1", ...answer("m_1", "Hello"));
    await world.clock.pass(200);
    assert.deepEqual(shown(session), ["complete: Hello"]);
  }
});

test("sessions that come and go in one turn are one request, and others stream on", async () => {
  const { holdfast, server, network, clock, session } = await followingAnyhow({ blocks: STREAM });
  server.create("another-session-000001");
  server.create("another-session-000002");
  const one = holdfast.session("another-session-000001");
  holdfast.session("another-session-000002");
  one.detach();
  await clock.pass(20);
  const asked = network.requests.map(({ body }) => body.attach.map((attach) => attach.session));
  assert.deepEqual(asked, [[SESSION], [SESSION, "another-session-000002"]]);
  assert.deepEqual(network.requests.map(({ isOpen }) => isOpen), [false, true]);
  server.publish(SESSION, "m_1", ...answer("m_1", "Hello"));
  await clock.pass(20);
  assert.deepEqual(shown(session), ["complete: Hello"]);
});

test("the scheduled end of a stream changes nothing visible", async () => {
  const world = await followingAnyhow({ blocks: STREAM });
  const { holdfast, server, network, clock } = world;
  const told = record(holdfast, "connection");
  server.publish(SESSION, "m_1", ...begin("m_1"), delta("one "));
  server.sendAll({ type: "going-away", reconnect_in_ms: 0 });
  network.requests[0].close();
  server.publish(SESSION, "m_1", delta("two"), ...FINISH);
  await clock.pass(50);
  assert.deepEqual(told, []);
  assert.equal(network.requests.length, 2);
  assertSameAsServer(world);
});

test("a stream that a proxy cuts now and then continues", async () => {
  const world = await followingAnyhow({ blocks: STREAM });
  const { holdfast, server, network, clock } = world;
  const told = record(holdfast, "connection");
  await clock.pass(6_000);
  network.cut();
  server.publish(SESSION, "m_1", ...answer("m_1", "Hello"));
  await clock.pass(50);
  assert.deepEqual(told, []);
  assertSameAsServer(world);
});

test("a proxy that ends polls early gets shorter ones", async () => {
  const { holdfast, network, clock } = await followingAnyhow({ blocks: POLL });
  const told = record(holdfast, "connection");
  await clock.pass(8_000);
  network.requests.at(-1).cut();
  await clock.pass(20);
  assert.deepEqual(told, []);
  assert.ok(network.requests.at(-1).body.wait_ms < 8_000, `${network.requests.at(-1).body.wait_ms}`);
});

test("a server that goes away is left until the time it gave, on every transport", async () => {
  for (const blocks of [{}, STREAM, POLL]) {
    const { holdfast, server, network, clock } = await followingAnyhow({ blocks });
    server.sendAll({ type: "going-away", reconnect_in_ms: 5_000 });
    await clock.pass(200);
    assert.deepEqual([holdfast.connection.state, holdfast.connection.reason.code], ["connected", "going_away"]);
    const before = network.requests.length;
    await clock.pass(4_700);
    assert.equal(network.requests.length, before);
    await clock.pass(400);
    assert.equal(holdfast.connection.reason, null);
  }
});

test("a session that is refused is left out until it asks again", async () => {
  const { holdfast, server, network, clock } = await followingAnyhow({ blocks: POLL });
  const missing = holdfast.session("missing-session-000001");
  await clock.pass(60);
  assert.equal(missing.gone.code, "not_found");
  server.publish(SESSION, "m_1", ...answer("m_1", "Hello"));
  await clock.pass(500);
  assert.deepEqual(network.requests.at(-1).body.attach.map(({ session }) => session), [SESSION]);
  assert.ok(network.requests.length < 8, `${network.requests.length} requests`);
});

test("an HTTP error in the API's format is that error", async () => {
  const world = await followingAnyhow();
  const words = { code: "signed_out", message: "Sign in", retryable: false };
  const fetch = async () => Response.json(words, { status: 401 });
  const { holdfast } = openPage({ ...world, network: { WebSocket: null, fetch } });
  holdfast.connect();
  await world.clock.pass(20);
  assert.equal(holdfast.connection.state, "failed");
  assert.equal(holdfast.connection.reason.message, "Sign in");
});

test("a server that cannot authenticate for now is asked again, and gives its reason", async () => {
  const world = await followingAnyhow();
  const words = { code: "storage_unavailable", message: "The database is away", retryable: true };
  const fetch = async () => Response.json(words, { status: 503 });
  const { holdfast } = openPage({ ...world, network: { WebSocket: null, fetch } });
  const states = record(holdfast, "connection");
  holdfast.connect();
  await world.clock.pass(600);
  assert.equal(holdfast.connection.reason.code, "storage_unavailable");
  assert.ok(states.some(([, { state }]) => state === "disconnected"));
});

test("a refused message is refused with the server's reason", async () => {
  for (const blocks of [STREAM, POLL]) {
    const { server, clock, session } = await followingAnyhow({ blocks });
    server.judge = () => ({ code: "bad_signal", message: "Not like this", retryable: false });
    const sent = assert.rejects(session.send("Hello"), { code: "bad_signal" });
    await clock.pass(100);
    await sent;
  }
});

test("a message whose request is lost is sent again, and counts once", async () => {
  const { server, network, clock, session } = await followingAnyhow({ blocks: { ...STREAM, signals: "refusing" } });
  const sent = session.send("Hello");
  await clock.pass(20);
  network.blocks = STREAM;
  await clock.pass(5_000);
  assert.equal((await sent).status, "accepted");
  assert.deepEqual(shown(session), ["complete: Hello"]);
  assert.equal(server.messages(SESSION).length, 1);
});

test("a message that a proxy refuses waits, and incoming events continue", async () => {
  const { holdfast, server, network, clock, session } = await followingAnyhow({ blocks: { ...STREAM, signals: 403 } });
  const told = record(holdfast, "connection");
  const sent = session.send("Hello");
  server.publish(SESSION, "m_1", ...answer("m_1", "Still here"));
  await clock.pass(5_000);
  assert.deepEqual(shown(session), ["complete: Still here", "waiting: Hello"]);
  assert.deepEqual(told, []);
  network.blocks = STREAM;
  await clock.pass(15_000);
  assert.equal((await sent).status, "accepted");
});
