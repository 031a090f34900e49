// Connection state in words.
import assert from "node:assert/strict";
import { test } from "node:test";

import { describe, explain, GRACE_MS } from "../../static/holdfast/connection-words.js";

const T = 1_795_420_000_000;

function said(connection, view = {}) {
  const full = { state: "disconnected", retryAt: null, reason: null, ...connection };
  return describe(full, { now: T, awaySince: T, wasConnected: true, ...view });
}

test("a blip shorter than the grace shows nothing", () => {
  for (const state of ["disconnected", "connecting"]) {
    const { word, notice } = said({ state }, { awaySince: T - GRACE_MS + 1 });
    assert.deepEqual({ word, notice }, { word: "Connected", notice: "" });
  }
});

test("after the grace period it says that it is reconnecting", () => {
  for (const state of ["disconnected", "connecting"]) {
    const { word, notice, action } = said({ state }, { awaySince: T - GRACE_MS });
    assert.equal(word, "Reconnecting…");
    assert.equal(notice, "Reconnecting… Your conversation is safe.");
    assert.equal(action, null);
  }
});

test("a first connection is never called connected before it is", () => {
  assert.equal(said({ state: "connecting" }, { wasConnected: false }).word, "Connecting…");
  assert.equal(said({ state: "initialized" }, { wasConnected: false }).word, "Connecting…");
});

test("a suspended connection says that the session is safe, counts down and offers a retry", () => {
  const { word, notice, action, retryIn } = said({ state: "suspended", retryAt: T + 12_300 });
  assert.equal(word, "Offline");
  assert.equal(notice, "Still offline. Your session is safe.");
  assert.equal(action, "retry");
  assert.equal(retryIn, 13);
});

test("a retry that is due counts down no further than zero", () => {
  assert.equal(said({ state: "suspended", retryAt: T - 500 }).retryIn, 0);
});

test("a failed connection says what to do", () => {
  const failed = (code, message = "No") => said({ state: "failed", reason: { code, message } });
  assert.equal(failed("signed_out").action, "sign-in");
  assert.equal(failed("forbidden_origin").action, null);
  const other = failed("frame_too_large", "The frame is too large");
  assert.equal(other.notice, "The frame is too large. Reload the page; your conversations are kept.");
  assert.equal(other.action, "reload");
  assert.equal(said({ state: "failed", reason: null }).action, "reload");
});

test("a connected page needs no notice", () => {
  assert.deepEqual(said({ state: "connected" }, { awaySince: null }), {
    word: "Connected",
    tone: "good",
    notice: "",
    action: null,
    retryIn: null,
  });
});

const CONNECTED = {
  state: "connected",
  since: T - 60_000,
  retryAt: null,
  reason: null,
  lastGoodAt: T - 2_000,
  transport: "websocket",
  transportReason: null,
  transportSince: T - 60_000,
};
const time = (moment) =>
  new Date(moment).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const explained = (connection) =>
  Object.fromEntries(explain({ ...CONNECTED, ...connection }, T).map(({ term, text }) => [term, text]));

test("the details have the state and the transport, with their start", () => {
  assert.deepEqual(explained({}), {
    State: `Connected since ${time(T - 60_000)}`,
    Transport: `WebSocket since ${time(T - 60_000)}`,
    "Last heard": "2 s ago",
  });
});

test("a lesser transport says why there is no better one", () => {
  const why = (transport, code) => explained({ transport, transportReason: { code, message: "No" } });
  assert.match(why("stream", "websocket_refused")["Why not WebSocket"], /proxy or firewall blocks WebSockets/);
  assert.match(why("poll", "stream_silent")["Why not streaming"], /buffers streams/);
  assert.match(why("stream", "websocket_answered")["Why not WebSocket"], /^The server refuses WebSockets at the moment/);
  assert.equal(why("stream", "something_new")["Why not WebSocket"], "No.");
  assert.match(why("poll", "remembered").Transport, /^Long polling since /);
});

test("the details of a lost connection have the reason and the next retry, but no transport", () => {
  const reason = { code: "server_silent", message: "Not heard from" };
  const lost = explained({ state: "disconnected", retryAt: T + 2_400, reason, lastGoodAt: T - 150_000 });
  assert.deepEqual(Object.keys(lost), ["State", "Reason", "Next retry", "Last heard"]);
  assert.equal(lost.Reason, "Not heard from.");
  assert.equal(lost["Next retry"], "Retrying in 3 s");
  assert.equal(lost["Last heard"], "3 min ago");
});

test("a connection that was never good has no last frame", () => {
  const first = { state: "connecting", transport: null, transportSince: null, lastGoodAt: null };
  assert.deepEqual(Object.keys(explained(first)), ["State"]);
});
