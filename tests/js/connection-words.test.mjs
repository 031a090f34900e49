// What the page says about the connection, and when it says nothing.
import assert from "node:assert/strict";
import { test } from "node:test";

import { describe, GRACE_MS } from "../../static/page/connection-words.js";

const T = 1_795_420_000_000;

function said(connection, view = {}) {
  const full = { state: "disconnected", retryAt: null, reason: null, ...connection };
  return describe(full, { now: T, awaySince: T, wasConnected: true, ...view });
}

test("a blip shorter than the grace shows nothing", () => {
  for (const state of ["disconnected", "connecting"]) {
    const { word, strip } = said({ state }, { awaySince: T - GRACE_MS + 1 });
    assert.deepEqual({ word, strip }, { word: "Connected", strip: "" });
  }
});

test("after the grace it says calmly that it reconnects", () => {
  for (const state of ["disconnected", "connecting"]) {
    const { word, strip, action } = said({ state }, { awaySince: T - GRACE_MS });
    assert.equal(word, "Reconnecting…");
    assert.equal(strip, "Reconnecting… your conversation is safe.");
    assert.equal(action, null);
  }
});

test("a first connection is never called connected before it is", () => {
  assert.equal(said({ state: "connecting" }, { wasConnected: false }).word, "Connecting…");
  assert.equal(said({ state: "initialized" }, { wasConnected: false }).word, "Connecting…");
});

test("a suspended connection says that the session is safe, counts down and offers a retry", () => {
  const { word, strip, action, retryIn } = said({ state: "suspended", retryAt: T + 12_300 });
  assert.equal(word, "Offline");
  assert.equal(strip, "Still offline. Your session is safe.");
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
  assert.equal(other.strip, "The frame is too large. Reload the page; your conversations are kept.");
  assert.equal(other.action, "reload");
  assert.equal(said({ state: "failed", reason: null }).action, "reload");
});

test("a connected page needs no strip", () => {
  assert.deepEqual(said({ state: "connected" }, { awaySince: null }), {
    word: "Connected",
    tone: "good",
    strip: "",
    action: null,
    retryIn: null,
  });
});
