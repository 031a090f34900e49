// A page, its network and a model server, on the test clock.

import assert from "node:assert/strict";
import { Holdfast } from "../../../static/holdfast/index.js";
// The client loads it when it needs it; on the test clock, that must take no time.
import "../../../static/holdfast/network/http.js";
import { Clock } from "./clock.mjs";
import { MemoryStorage } from "./memory-storage.mjs";
import { ModelServer } from "./model-server.mjs";
import { Network } from "./network.mjs";
import { Tabs } from "./tabs.mjs";

export const SESSION = "session-0123456789abcd";

/** @param {{random?: () => number, latency?: () => number}} [chance] */
export function world({ random = () => 0.5, latency } = {}) {
  const clock = new Clock();
  const network = new Network(clock, latency);
  const server = new ModelServer(clock, network);
  server.create(SESSION);
  const storage = new MemoryStorage();
  const tabs = new Tabs(clock);
  return { clock, network, server, storage, tabs, random, ...openPage({ clock, network, storage, tabs, random }) };
}

/** Another page of the same browser: a reload, or a second tab. */
export function openPage({ clock, network, storage, tabs, random, giveToken = null }) {
  const page = new EventTarget();
  page.document = Object.assign(new EventTarget(), { hidden: false });
  const { WebSocket, fetch = null } = network;
  const { share } = tabs;
  const url = "wss://holdfast.test/ws/";
  const holdfast = new Holdfast({ url, WebSocket, fetch, clock, random, storage, share, page, token: giveToken });
  return { page, holdfast };
}

/** A world whose page is connected and follows a session. */
export function following(chance) {
  const created = world(chance);
  created.holdfast.connect();
  const session = created.holdfast.session(SESSION);
  created.clock.advance(10);
  return { ...created, session };
}

/**
 * The same with HTTP beside WebSockets, which needs `await clock.pass`.
 * @param {{blocks?: object, chance?: object}} [options] what transports meet
 */
export async function followingAnyhow({ blocks = {}, chance } = {}) {
  const created = world(chance);
  Object.assign(created.network, { blocks });
  created.network.allowHttp();
  const page = openPage(created);
  const session = page.holdfast.session(SESSION);
  page.holdfast.connect();
  await created.clock.pass(20);
  return { ...created, ...page, session };
}

/** The chunks of an answer of these words, in text part t1. */
export function answer(message, ...words) {
  return [...begin(message), ...words.map(delta), ...FINISH];
}

export const begin = (message) => [{ type: "start", messageId: message }, { type: "text-start", id: "t1" }];
export const delta = (word) => ({ type: "text-delta", id: "t1", delta: word });
export const FINISH = [{ type: "text-end", id: "t1" }, { type: "finish" }];

/** What a page shows: each message's status and text. */
export function shown(session) {
  return session.messages.map(({ status, parts }) => `${status}: ${parts.map(({ text }) => text ?? "").join("")}`);
}

/** Messages as they go on the wire, to compare copies. */
export function plain(messages) {
  return JSON.parse(JSON.stringify(messages, (key, value) => (key === "revision" ? undefined : value)));
}

/** Collect an object's events of these types, as [type, detail]. */
export function record(target, ...types) {
  const events = [];
  for (const type of types) target.addEventListener(type, ({ detail }) => events.push([type, detail]));
  return events;
}

// What the network blocks, so that a client uses streaming or long poll.
export const STREAM = { websocket: "refusing" };
export const POLL = { websocket: "refusing", stream: "refusing" };

export function assertSameAsServer({ session, server }) {
  assert.deepEqual(plain(session.messages), plain(server.messages(SESSION)));
}
