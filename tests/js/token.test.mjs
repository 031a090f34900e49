// Authentication by token: on every transport, renewed in time, without a drop.

import assert from "node:assert/strict";
import { test } from "node:test";

import { RENEW_AGAIN_MS } from "../../static/holdfast/client.js";
import { Token } from "../../static/holdfast/token.js";
import { Clock } from "./support/clock.mjs";
import { SESSION, answer, openPage, record, shown, world } from "./support/world.mjs";

const LIFE_MS = 600_000;

const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** Tokens of `life` ms, numbered; `failing` while none can be had. */
function giver(clock, life = LIFE_MS) {
  const given = [];
  const give = async () => {
    if (give.failing) throw new Error("no token today");
    given.push(`${encode({ alg: "HS256" })}.${encode({ exp: (clock.now() + life) / 1000, n: given.length })}.signed`);
    return given.at(-1);
  };
  return Object.assign(give, { given, failing: false });
}

/** A page that acts by tokens, connected, and follows a session. */
async function acting({ blocks = {}, life } = {}) {
  const created = world();
  created.network.blocks = blocks;
  created.network.allowHttp();
  const token = giver(created.clock, life);
  const page = openPage({ ...created, giveToken: token });
  const session = page.holdfast.session(SESSION);
  page.holdfast.connect();
  await created.clock.pass(20);
  return { ...created, ...page, session, token };
}

test("a socket offers the token as a subprotocol", async () => {
  const { holdfast, network, token } = await acting();
  assert.equal(holdfast.connection.state, "connected");
  assert.deepEqual(network.wire.protocols, ["holdfast", `bearer.${token.given[0]}`]);
});

for (const [transport, blocks] of [["stream", { websocket: "refusing" }], ["poll", { websocket: "refusing", stream: "refusing" }]]) {
  test(`a ${transport} has the token in its header, and no CSRF token`, async () => {
    const { holdfast, network, token } = await acting({ blocks });
    assert.equal(holdfast.connection.transport, transport);
    const { headers } = network.requests.find(({ name }) => name === transport);
    assert.equal(headers.Authorization, `Bearer ${token.given[0]}`);
    assert.ok(!("X-CSRFToken" in headers));
  });
}

test("a socket continues with a fresh token before the old one expires", async () => {
  const { clock, holdfast, network, server, session, token } = await acting();
  const states = record(holdfast, "connection");
  await clock.pass(LIFE_MS - 29_000);
  const asked = server.received.filter(({ type }) => type === "authenticate");
  assert.deepEqual(asked.map((frame) => frame.token), [token.given[1]]);
  server.publish(SESSION, "m_1", ...answer("m_1", "still ", "here"));
  await clock.pass(100);
  assert.deepEqual(shown(session), ["complete: still here"]);
  assert.equal(network.wires.length, 1);
  assert.deepEqual(states.filter(([, { state }]) => state !== "connected"), []);
});

test("a stream is replaced by one with the fresh token", async () => {
  const { clock, network, token } = await acting({ blocks: { websocket: "refusing" } });
  await clock.pass(LIFE_MS - 29_000);
  const streams = network.requests.filter(({ name }) => name === "stream");
  assert.equal(streams.at(-1).headers.Authorization, `Bearer ${token.given.at(-1)}`);
  assert.equal(token.given.length, 2);
});

test("a token that is not available is asked for again", async () => {
  const { clock, server, token } = await acting();
  token.failing = true;
  await clock.pass(LIFE_MS - 29_000);
  token.failing = false;
  await clock.pass(RENEW_AGAIN_MS);
  assert.equal(server.received.filter(({ type }) => type === "authenticate").length, 1);
});

test("without a first token it connects once there is one", async () => {
  const created = world();
  const token = giver(created.clock);
  token.failing = true;
  const { holdfast } = openPage({ ...created, giveToken: token });
  holdfast.connect();
  await created.clock.pass(1000);
  assert.notEqual(holdfast.connection.state, "connected");
  token.failing = false;
  await created.clock.pass(20_000);
  assert.equal(holdfast.connection.state, "connected");
});

test("a token that expired while the page slept is no failure", async () => {
  const { clock, holdfast, network, token } = await acting();
  const error = { code: "token_expired", message: "The token has expired", retryable: false };
  network.wire.send(JSON.stringify({ type: "error", ...error }));
  await clock.pass(1000);
  assert.equal(holdfast.connection.state, "connected");
  assert.equal(token.given.length, 2);
});

test("an invalid token is a failure that says so", async () => {
  const { clock, holdfast, network } = await acting();
  network.wire.send(JSON.stringify({ type: "error", code: "bad_token", message: "Not valid", retryable: false }));
  await clock.pass(1000);
  assert.equal(holdfast.connection.state, "failed");
  assert.equal(holdfast.connection.reason.code, "bad_token");
});

test("half of a short lifetime is used, and a token without expiry lasts", async () => {
  const clock = new Clock();
  const short = new Token(giver(clock, 10_000), clock);
  await short.fresh();
  assert.equal(short.renewAt, clock.now() + 5_000);
  const opaque = new Token(() => "opaque", clock);
  assert.equal(await opaque.fresh(), "opaque");
  assert.equal(opaque.renewAt, Infinity);
});

for (const [clocks, off] of [["ahead", 3_600_000], ["behind", -3_600_000]]) {
  test(`a device whose clock is an hour ${clocks} renews a token in time, and once`, async () => {
    const created = world();
    let given = 0;
    const giveToken = async () => {
      given += 1;
      const issued = (created.clock.now() - off) / 1000;
      return `${encode({ alg: "HS256" })}.${encode({ iat: issued, exp: issued + LIFE_MS / 1000 })}.signed`;
    };
    const { holdfast } = openPage({ ...created, giveToken });
    holdfast.connect();
    await created.clock.pass(LIFE_MS - 31_000);
    assert.equal(given, 1);
    await created.clock.pass(2_000);
    assert.equal(given, 2);
    assert.equal(holdfast.connection.state, "connected");
  });
}

test("a token that is never valid by this device's clock is asked for every few seconds at most", async () => {
  const { clock, token } = await acting({ life: -1_000 });
  const before = token.given.length;
  await clock.pass(10 * RENEW_AGAIN_MS);
  assert.ok(token.given.length - before <= 11, `${token.given.length - before} tokens`);
});
