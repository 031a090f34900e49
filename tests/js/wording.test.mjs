// What the page says about messages, tools and resets.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  answerNotice,
  caughtUpNotice,
  deliveryNotice,
  goneNotice,
  resetNotice,
  titleOf,
  toolState,
  toolTitle,
} from "../../static/page/wording.js";

const text = { type: "text", text: "So far" };

test("a complete or streaming answer needs no words", () => {
  assert.equal(answerNotice({ status: "complete", reason: null, parts: [text] }), "");
  assert.equal(answerNotice({ status: "streaming", reason: null, parts: [text] }), "");
});

test("an interrupted answer says what happened and that what it had written is kept", () => {
  assert.equal(
    answerNotice({ status: "interrupted", reason: "lease", parts: [{ type: "step-start" }, text] }),
    "Interrupted: the agent stopped before it finished. What it had written is kept.",
  );
});

test("an answer that had written nothing doesn't claim to have kept it", () => {
  assert.equal(
    answerNotice({ status: "interrupted", reason: null, parts: [{ type: "step-start" }] }),
    "Interrupted: the agent stopped before it finished.",
  );
});

test("a failed answer gives its reason as a sentence", () => {
  assert.equal(answerNotice({ status: "failed", reason: "model overloaded", parts: [] }), "Failed: model overloaded.");
});

test("a message of one's own says how it stands, and one that waits offline when it will go", () => {
  const waiting = { status: "waiting", reason: null };
  assert.equal(deliveryNotice(waiting, true), "Waiting…");
  assert.equal(deliveryNotice({ status: "sending", reason: null }, true), "Sending…");
  assert.equal(deliveryNotice(waiting, false), "Waiting: it is sent when you are back online");
  assert.equal(deliveryNotice({ status: "sending", reason: null }, true), "Sending…");
  assert.equal(deliveryNotice({ status: "complete", reason: null }, false), "Sent");
  const refused = { status: "failed", reason: "The frame is too large" };
  assert.equal(deliveryNotice(refused, true), "Not sent: The frame is too large.");
});

test("a tool call of a message that has ended no longer claims to run", () => {
  assert.equal(toolState({ state: "input-available" }, false), "running…");
  assert.equal(toolState({ state: "input-available" }, true), "stopped");
  assert.equal(toolState({ state: "output-available", preliminary: true }, false), "running…");
  assert.equal(toolState({ state: "output-available", preliminary: true }, true), "stopped");
  assert.equal(toolState({ state: "output-available" }, true), "done");
  assert.equal(toolState({ state: "output-error" }, true), "failed");
});

test("tool names become words", () => {
  assert.equal(toolTitle("get_weather"), "Get weather");
  assert.equal(toolTitle("searchDocs"), "Search docs");
  assert.equal(toolTitle(""), "Tool");
});

test("every reason of a reset has its own words, and an unknown one still has some", () => {
  assert.equal(resetNotice("trimmed", 72), "Older messages were removed after 72 hours.");
  const reasons = ["trimmed", "epoch-changed", "ahead", "too-far", "something-new"];
  assert.equal(new Set(reasons.map((reason) => resetNotice(reason, null))).size, reasons.length);
});

test("a session that can't be read says why", () => {
  assert.match(goneNotice({ code: "expired", message: "" }), /time .* is over/);
  assert.match(goneNotice({ code: "not_found", message: "" }), /deleted/);
  assert.equal(goneNotice({ code: "other", message: "Because" }), "Because.");
});

test("a return is counted in events and milliseconds", () => {
  assert.equal(caughtUpNotice({ events: 128, ms: 40.4 }), "Caught up: 128 events in 40 ms");
  assert.equal(caughtUpNotice({ events: 1, ms: 0.2 }), "Caught up: 1 event in 1 ms");
  assert.equal(caughtUpNotice({ events: 12345, ms: 90 }), "Caught up: 12,345 events in 90 ms");
});

test("a title is the beginning of the first message, cut between words", () => {
  assert.equal(titleOf("  Hello\n there "), "Hello there");
  assert.equal(titleOf("word ".repeat(30)), `${"word ".repeat(11).trim()}…`);
  assert.equal([...titleOf("😀".repeat(100))].length, 60);
  assert.equal(titleOf("😀".repeat(100)).isWellFormed(), true);
});
