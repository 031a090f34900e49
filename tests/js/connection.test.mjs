// The client over a failing network: detection, reaction, reported state.

import assert from "node:assert/strict";
import test from "node:test";
import { CHECK_MS } from "../../static/holdfast/client.js";
import { CONNECT_TIMEOUT_MS, SUSPENDED_RETRY_MS } from "../../static/holdfast/connection-state.js";
import { ACTOR } from "./support/model-server.mjs";
import { FINISH, SESSION, answer, begin, delta, following, openPage, plain, record, shown, world } from "./support/world.mjs";

const WINDOW_MS = 120_000;
const STALE_MS = 35_000;

function statesOf(holdfast) {
  const states = [];
  holdfast.addEventListener("connection", ({ detail }) => states.at(-1) !== detail.state && states.push(detail.state));
  return states;
}

function assertSameAsServer({ session, server }) {
  assert.deepEqual(plain(session.messages), plain(server.messages(SESSION)));
}

test("the client connects, and reports the transport and its start", () => {
  const { holdfast, clock } = world();
  assert.equal(holdfast.connection.state, "initialized");
  const states = statesOf(holdfast);
  holdfast.connect();
  clock.advance(10);
  assert.deepEqual(states, ["connecting", "connected"]);
  assert.deepEqual(holdfast.connection, {
    state: "connected",
    since: 1_000_002,
    lostAt: null,
    retryAt: null,
    reason: null,
    transport: "websocket",
    transportReason: null,
    transportSince: 1_000_002,
    lastGoodAt: 1_000_002,
    actor: ACTOR,
  });
});

test("an interrupted answer continues where it was", () => {
  const { holdfast, server, network, clock, session } = following();
  server.publish(SESSION, "m_1", ...begin("m_1"), delta("Hello "));
  clock.advance(10);
  const states = statesOf(holdfast);
  network.cut();
  server.publish(SESSION, "m_1", delta("wor"));
  clock.advance(10);
  server.publish(SESSION, "m_1", delta("ld"), ...FINISH);
  clock.advance(10);

  assert.deepEqual(states, ["connecting", "connected"]);
  assert.deepEqual(shown(session), ["complete: Hello world"]);
  assertSameAsServer({ session, server });
  assert.deepEqual(session.caughtUp, { events: 1, ms: 2 });
  const resume = server.received.filter(({ type }) => type === "attach").at(-1);
  assert.deepEqual(resume, { type: "attach", session: SESSION, cursor: "e1-3", held: { m_1: [6] } });
});

test("a silent server is replaced after two heartbeats and five seconds", () => {
  const { holdfast, server, network, clock, session } = following();
  network.freeze();
  server.publish(SESSION, "m_1", ...answer("m_1", "Hello"));
  clock.advance(STALE_MS - 100);
  assert.equal(network.wires.length, 1);
  clock.advance(200);
  assert.equal(network.wires.length, 2);
  assert.equal(holdfast.connection.state, "connected");
  assert.deepEqual(shown(session), ["complete: Hello"]);
});

test("any frame keeps it alive", () => {
  const { network, server, clock } = following();
  server.heartbeat = () => {};
  for (let second = 0; second < 60; second += 1) {
    server.publish(SESSION, `m_${second}`, ...answer(`m_${second}`, "."));
    clock.advance(1_000);
  }
  assert.equal(network.wires.length, 1);
});

for (const [fact, target, type] of [
  ["the network comes back", (page) => page, "online"],
  ["the network goes", (page) => page, "offline"],
  ["the page is shown from the cache", (page) => page, "pageshow"],
  ["the page is thawed", (page) => page.document, "resume"],
  ["the tab comes to the front", (page) => page.document, "visibilitychange"],
]) {
  test(`when ${fact}, a dead socket is replaced within two seconds`, () => {
    const { holdfast, page, network, clock } = following();
    network.freeze();
    target(page).dispatchEvent(new Event(type));
    clock.advance(CHECK_MS + 10);
    assert.equal(network.wires.length, 2);
    assert.equal(holdfast.connection.state, "connected");
  });

  test(`when ${fact}, a live socket is asked and kept`, () => {
    const { page, network, server, clock } = following();
    target(page).dispatchEvent(new Event(type));
    target(page).dispatchEvent(new Event(type));
    clock.advance(CHECK_MS * 2);
    assert.equal(network.wires.length, 1);
    assert.equal(server.received.filter((frame) => frame.type === "ping").length, 1);
  });
}

test("a tab that goes to the back checks nothing", () => {
  const { page, server, clock } = following();
  page.document.hidden = true;
  page.document.dispatchEvent(new Event("visibilitychange"));
  clock.advance(10);
  assert.equal(server.received.some(({ type }) => type === "ping"), false);
});

test("a page that slept checks its socket before it gives it up", () => {
  const { network, server, clock } = following();
  clock.sleep(3_600_000);
  clock.advance(CHECK_MS * 2);
  assert.equal(network.wires.length, 1);
  assert.equal(server.received.filter(({ type }) => type === "ping").length, 1);
});

test("a page that slept replaces a dead socket within two seconds", () => {
  const { holdfast, network, clock } = following();
  network.freeze();
  clock.sleep(3_600_000);
  clock.advance(CHECK_MS + 10);
  assert.equal(network.wires.length, 2);
  assert.equal(holdfast.connection.state, "connected");
});

test("frames of a replaced socket are dropped", () => {
  const { page, server, network, clock, session } = following();
  server.publish(SESSION, "m_1", ...begin("m_1"), delta("one "));
  clock.advance(10);
  network.freeze();
  page.dispatchEvent(new Event("online"));
  clock.advance(CHECK_MS + 10);
  const changes = record(session, "change");
  network.wires[0].frozen = false;
  network.wires[0].send(JSON.stringify({ type: "detached", session: SESSION, error: { code: "not_found", message: "" } }));
  network.wires[0].close(4401);
  clock.advance(10);
  assert.equal(session.gone, null);
  assert.deepEqual(changes, []);
  assert.equal(network.wires.length, 2);
});

test("a send that fails starts a reconnect at once, without a close event", () => {
  const { network, server, clock, session } = following();
  network.wire.vanish();
  session.send("Hello");
  clock.advance(20);
  assert.equal(network.wires.length, 2);
  assert.deepEqual(server.messages(SESSION).map(({ parts }) => parts[0].text), ["Hello"]);
});

test("a server that goes away is followed until then, and left at its time", () => {
  const { holdfast, server, network, clock, session } = following();
  server.sendAll({ type: "going-away", reconnect_in_ms: 3_000 });
  clock.advance(10);
  assert.equal(holdfast.connection.state, "connected");
  assert.equal(holdfast.connection.reason.code, "going_away");
  server.publish(SESSION, "m_1", ...answer("m_1", "still here"));
  clock.advance(10);
  assert.deepEqual(shown(session), ["complete: still here"]);
  clock.advance(2_900);
  assert.equal(network.wires.length, 1);
  clock.advance(100);
  assert.deepEqual(network.wires.map(({ isOpen }) => isOpen), [false, true]);
  assert.equal(holdfast.connection.state, "connected");
});

test("a server that closes before the time it gave is not asked sooner", () => {
  const { holdfast, server, network, clock } = following();
  server.sendAll({ type: "going-away", reconnect_in_ms: 3_000 });
  clock.advance(10);
  network.wire.close(4503);
  clock.advance(2_900);
  assert.equal(holdfast.connection.state, "disconnected");
  clock.advance(100);
  assert.equal(holdfast.connection.state, "connected");
});

test("a lost connection is disconnected for the recovery window, then suspended, then retries every 30 s", () => {
  const { holdfast, server, network, clock, session } = following();
  clock.advance(5_000);
  network.state = "refusing";
  network.cut();
  clock.advance(WINDOW_MS - 1_000);
  assert.ok(["disconnected", "connecting"].includes(holdfast.connection.state));
  clock.advance(2_000);
  assert.equal(holdfast.connection.state, "suspended");

  server.publish(SESSION, "m_1", ...answer("m_1", "kept"));
  clock.advance(60_000);
  assert.equal(holdfast.connection.state, "suspended");
  network.state = "up";
  assert.ok(holdfast.connection.retryAt - clock.now() <= SUSPENDED_RETRY_MS);
  clock.advance(SUSPENDED_RETRY_MS + 10);
  assert.equal(holdfast.connection.state, "connected");
  assert.deepEqual(shown(session), ["complete: kept"]);
});

test("a suspended connection retries at once when the user asks", () => {
  const { holdfast, network, clock } = following();
  network.state = "refusing";
  network.cut();
  clock.advance(WINDOW_MS + 5_000);
  network.state = "up";
  holdfast.retry();
  clock.advance(10);
  assert.equal(holdfast.connection.state, "connected");
});

test("the server sets the recovery window", () => {
  const { holdfast, server, network, clock } = world();
  server.recoveryWindowMs = 3_000;
  holdfast.connect();
  clock.advance(10);
  network.state = "refusing";
  network.cut();
  clock.advance(3_100);
  assert.equal(holdfast.connection.state, "suspended");
});

for (const [how, refuse] of [
  ["an error frame", (server) => server.sendAll({ type: "error", code: "signed_out", message: "Sign in", retryable: false })],
  ["a close code", (server, network) => network.wire.close(4401)],
]) {
  test(`${how} that a retry cannot fix makes it failed, until the user asks`, () => {
    const { holdfast, server, network, clock, page } = following();
    refuse(server, network);
    clock.advance(10);
    assert.equal(holdfast.connection.state, "failed");
    assert.equal(holdfast.connection.reason.code, "signed_out");
    page.dispatchEvent(new Event("online"));
    clock.advance(600_000);
    assert.equal(network.wires.length, 1);
    holdfast.retry();
    clock.advance(10);
    assert.equal(holdfast.connection.state, "connected");
  });
}

test("an error that leaves the connection open is reported", () => {
  const { holdfast, server, clock } = following();
  const errors = record(holdfast, "error");
  server.sendAll({ type: "error", code: "unknown_type", message: "Unknown frame type", retryable: false });
  clock.advance(10);
  assert.deepEqual(errors.map(([, { code }]) => code), ["unknown_type"]);
  assert.equal(holdfast.connection.state, "connected");
});

test("a connection that hangs is given up in time and tried again", () => {
  const { holdfast, network, clock } = world();
  network.state = "hanging";
  holdfast.connect();
  clock.advance(CONNECT_TIMEOUT_MS + 10);
  network.state = "up";
  clock.advance(CONNECT_TIMEOUT_MS + 1_000);
  assert.equal(holdfast.connection.state, "connected");
});

test("a server that drops every connection at once is not hammered", () => {
  const { holdfast, server, network, clock } = world();
  const accept = network.accept;
  network.accept = (wire) => {
    accept(wire);
    wire.close(4500);
  };
  holdfast.connect();
  clock.advance(60_000);
  assert.ok(network.wires.length > 3);
  assert.ok(network.wires.length < 20, `${network.wires.length} connections in a minute`);
  assert.equal(holdfast.connection.reason.code, "internal");
  assert.equal(server.received.length, 0);
});

test("the connection closes, also without an answer", () => {
  const { holdfast, network, clock } = following();
  const states = statesOf(holdfast);
  network.freeze();
  holdfast.close();
  clock.advance(5_000);
  assert.deepEqual(states, ["closing", "closed"]);
  clock.advance(600_000);
  assert.equal(network.wires.length, 1);
  holdfast.connect();
  clock.advance(10);
  assert.equal(holdfast.connection.state, "connected");
});

test("a text that is not a frame is ignored", () => {
  const { network, clock, holdfast } = following();
  for (const text of ["", "{", "null", "[]", '{"type":7}', '{"type":"later","session":"x"}']) network.wire.send(text);
  clock.advance(10);
  assert.equal(holdfast.connection.state, "connected");
});

test("a WebSocket that the page's policy forbids is a lost connection like any other", async () => {
  const WebSocket = class {
    constructor() {
      throw new Error("SecurityError");
    }
  };
  const { holdfast } = openPage({ ...world(), network: { WebSocket } });
  holdfast.connect();
  await Promise.resolve();
  assert.equal(holdfast.connection.reason.code, "transport_closed");
});
