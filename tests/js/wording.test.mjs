// Texts of the page about messages, tools and resets.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  answerNotice,
  begunNotice,
  caughtUpNotice,
  clockTime,
  composerHint,
  decisionNotice,
  deliveryNotice,
  expiryNotice,
  goneNotice,
  receiptOf,
  resetNotice,
  retryNotice,
  steerNotice,
  stopNotice,
  titleOf,
  toolState,
  toolTitle,
} from "../../static/holdfast/page/wording.js";
import { sentence } from "../../static/holdfast/connection-words.js";

const text = { type: "text", text: "So far" };

test("a complete or streaming answer needs no words", () => {
  assert.equal(answerNotice({ status: "complete", reason: null, parts: [text] }), "");
  assert.equal(answerNotice({ status: "streaming", reason: null, parts: [text] }), "");
});

test("a message that a back end has begun a turn with says so", () => {
  const begunBy = (begun_by, role = "user") => begunNotice({ role, metadata: { holdfast: { begun_by } } });
  assert.equal(begunBy("agent:billing-cron"), "Begun by billing-cron");
  assert.equal(begunBy("ext:alice"), "Begun by ext:alice");
  assert.equal(begunBy("agent:billing-cron", "assistant"), "");
  for (const metadata of [undefined, null, {}, { holdfast: null }]) assert.equal(begunNotice({ role: "user", metadata }), "");
});

test("an interrupted answer names the cause and says that its text is kept", () => {
  assert.equal(
    answerNotice({ status: "interrupted", reason: "lease", parts: [{ type: "step-start" }, text] }),
    "Interrupted: the agent stopped before it finished. The text so far is kept.",
  );
});

test("an empty answer does not claim that its text is kept", () => {
  assert.equal(
    answerNotice({ status: "interrupted", reason: null, parts: [{ type: "step-start" }] }),
    "Interrupted: the agent stopped before it finished.",
  );
});

test("a sentence ends with one full stop", () => {
  for (const whole of ["Done.", "Why?", "It said “no.”", "It said (no!)", "Wait…", "完了。", 'Use "a."']) {
    assert.equal(sentence(whole), whole);
  }
  assert.equal(sentence("It said “no”"), "It said “no”.");
  assert.equal(sentence("Done. \n"), "Done.");
});

test("a failed answer gives its reason as a sentence", () => {
  assert.equal(answerNotice({ status: "failed", reason: "model overloaded", parts: [] }), "Failed: model overloaded.");
});

test("a stopped answer says who stopped it, as far as that is known", () => {
  const cancelled = { status: "cancelled", reason: null, parts: [] };
  assert.equal(answerNotice(cancelled), "Stopped before it finished.");
  assert.equal(answerNotice(cancelled, true), "Stopped by you before it finished.");
  assert.equal(answerNotice(cancelled, false), "Stopped by someone else with access before it finished.");
});

test("the user's message shows its delivery status, and when a waiting one will be sent", () => {
  const waiting = { status: "waiting", reason: null };
  assert.equal(deliveryNotice(waiting, true), "Waiting…");
  assert.equal(deliveryNotice({ status: "sending", reason: null }, true), "Sending…");
  assert.equal(deliveryNotice(waiting, false), "Waiting. Will be sent when you are back online.");
  assert.equal(deliveryNotice({ status: "complete", reason: null }, false), "Sent");
  const refused = { status: "failed", reason: "The frame is too large" };
  assert.equal(deliveryNotice(refused, true), "Not sent: The frame is too large.");
});

test("a message shows its receipt in words beside the ticks", () => {
  const sent = { status: "complete", reason: null };
  const say = (signal) => [deliveryNotice(sent, true, signal), receiptOf(signal)];
  const message = { kind: "message", reason: null, message: "m_1" };
  assert.deepEqual(say({ ...message, status: "accepted" }), ["Sent", "sent"]);
  assert.deepEqual(say({ ...message, status: "delivered" }), ["Delivered", "delivered"]);
  assert.deepEqual(say({ ...message, status: "applied" }), ["Read", "read"]);
  assert.deepEqual(say({ ...message, status: "applied", message: null }), ["Sent", "sent"]); // nobody is there to read it
  const stopped = { ...message, status: "rejected", reason: "It was stopped before an agent began" };
  assert.deepEqual(say(stopped), ["Not answered: It was stopped before an agent began.", "sent"]);
  assert.equal(say({ ...message, status: "expired", reason: null })[0], "Expired");
});

test("a steer shows when it will be read, why it was not, or that it came too late", () => {
  const sent = { status: "complete", reason: null };
  const steer = { kind: "steer", reason: null, message: "m_1", status: "delivered" };
  assert.equal(deliveryNotice({ ...sent, loose: true }, true, steer), "Will be read at the next step");
  const late = { ...steer, status: "applied", reason: "It came too late for that answer" };
  assert.equal(deliveryNotice(sent, true, late), "Read: It came too late for that answer.");
  const unread = { ...steer, status: "rejected", reason: "The agent was stopped" };
  assert.equal(deliveryNotice(sent, true, unread), "Not read: The agent was stopped.");
  assert.equal(steerNotice(true), "Added by you while the agent was working");
  assert.equal(steerNotice(null), "Added while the agent was working");
});

test("a decision shows what, who and when; a pending one says so", () => {
  const at = Date.UTC(2026, 0, 5, 14, 3);
  const approved = { state: "approved", sending: false, by: "guest:1", at, edited: false, reason: "" };
  const mine = { mine: true, online: true };
  assert.equal(decisionNotice(approved, mine), `Approved by you at ${clockTime(at)}.`);
  const denied = { ...approved, state: "denied", reason: "Not today" };
  assert.equal(
    decisionNotice(denied, { mine: false, online: true }),
    `Denied by someone else with access at ${clockTime(at)}: Not today.`,
  );
  const edited = { ...approved, edited: true, sending: true };
  assert.equal(decisionNotice(edited, mine), "Approved with edited arguments. Sending…");
  const offline = { mine: true, online: false };
  assert.equal(decisionNotice(edited, offline), "Approved with edited arguments. Will be sent when you are back online.");
  assert.match(decisionNotice({ ...denied, state: "expired" }, mine), /^Expired without a decision/);
  assert.match(decisionNotice(null, mine), /^Not decided/);
});

test("an approval's time runs down, and its end is left to the server", () => {
  assert.equal(expiryNotice(300_000), "Expires in 5:00");
  assert.equal(expiryNotice(61_001), "Expires in 1:02");
  assert.equal(expiryNotice(900), "Expires in 0:01");
  assert.equal(expiryNotice(10 * 3_600_000), "Expires in 10 hours");
  assert.equal(expiryNotice(-5_000), "Expires now");
});

test("the hint says what sending does, and the outcome of a stop is shown", () => {
  const state = { stopping: false, online: true, steers: false, hasKeyboard: true };
  assert.match(composerHint(state), /^Enter to send/);
  assert.match(composerHint({ ...state, steers: true }), /^Enter to steer/);
  assert.match(composerHint({ ...state, steers: true, hasKeyboard: false }), /^Steers/);
  assert.match(composerHint({ ...state, stopping: true, online: false }), /when you are back online\.$/);
  assert.match(composerHint({ ...state, keeps: false, steers: true }), /^This browser keeps nothing/);
  assert.equal(stopNotice({ status: "applied", reason: null }), "Stopped.");
  assert.equal(stopNotice({ status: "rejected", reason: "It had ended" }), "Not stopped: It had ended.");
  assert.equal(retryNotice("continue", true), "Continuing…");
  assert.equal(retryNotice("regenerate", false), "Regenerating when you are back online");
});

test("a tool call shows the decision about it", () => {
  const asked = { state: "approval-requested" };
  assert.equal(toolState(asked, false), "waiting for approval");
  assert.equal(toolState(asked, false, { state: "approved" }), "running…");
  assert.equal(toolState(asked, false, { state: "denied" }), "denied");
  assert.equal(toolState({ state: "output-denied" }, false, { state: "expired" }), "expired");
  assert.equal(toolState({ state: "output-available" }, true, { state: "approved" }), "done");
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

test("every reason of a reset has a notice of its own, and an unknown one a general notice", () => {
  assert.equal(resetNotice("trimmed", 72), "Older messages were removed after 72 hours.");
  const reasons = ["trimmed", "epoch-changed", "ahead", "too-far", "something-new"];
  assert.equal(new Set(reasons.map((reason) => resetNotice(reason, null))).size, reasons.length);
});

test("an unreadable session says why", () => {
  assert.match(goneNotice({ code: "expired", message: "" }), /has expired/);
  assert.match(goneNotice({ code: "not_found", message: "" }), /deleted/);
  assert.equal(goneNotice({ code: "other", message: "Because" }), "Because.");
});

test("a catch-up is counted in events and milliseconds", () => {
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
