// Signal status in the transcript: decisions, stops, retries, steers, the user's own.
import assert from "node:assert/strict";
import { test } from "node:test";

import { SignalStatus, interleave, isUnfinished } from "../../static/holdfast/page/signal-status.js";
import { recordOf } from "./support/model-server.mjs";

const ME = "guest:1";
const signalStatus = (...signals) => new SignalStatus(signals, ME);
const message = (id, at, ...parts) => ({ id, status: "complete", created_at: at, parts });
const steer = (fields) => recordOf({ kind: "steer", at: 15, payload: { parts: [{ type: "text", text: "Shorter" }] }, ...fields });
const ids = (messages) => messages.map(({ id }) => id);

test("a signal is the user's own if it has the user's actor, or none yet", () => {
  assert.deepEqual([ME, null, "user:2"].map((actor) => signalStatus().isMine(actor)), [true, true, false]);
});

test("the decision is the one that wasn't refused", () => {
  const lost = recordOf({ id: "s_1", kind: "approve", status: "rejected", payload: { approval: "a1" } });
  const won = recordOf({ id: "s_2", kind: "deny", payload: { approval: "a1" } });
  assert.equal(signalStatus(lost).decision("a1"), undefined);
  assert.equal(signalStatus(lost, won).decision("a1"), won);
  assert.equal(signalStatus(won).decision("a2"), undefined);
});

test("an answer was stopped by the cancel that names it, else by the first cancel of everything after its start", () => {
  const stop = (fields) => recordOf({ kind: "cancel", status: "applied", ...fields });
  const [earlier, named, all] = [
    stop({ id: "s_1", at: 5 }),
    stop({ id: "s_2", at: 30, message: "m_1" }),
    stop({ id: "s_3", at: 20 }),
  ];
  assert.equal(signalStatus(earlier, all, named).stop(message("m_1", 10)), named);
  assert.equal(signalStatus(earlier, all).stop(message("m_1", 10)), all);
  assert.equal(signalStatus(earlier, named).stop(message("m_2", 10)), undefined);
  assert.equal(signalStatus(stop({ id: "s_4", at: 20, status: "rejected" })).stop(message("m_1", 10)), undefined);
});

test("a retry counts until it has begun or was refused", () => {
  const retry = (status) => signalStatus(recordOf({ id: "s_1", kind: "retry", status, payload: { message: "m_1" } }));
  const found = ["waiting", "accepted", "delivered", "applied", "rejected"].map((status) => Boolean(retry(status).retry(["m_0", "m_1"])));
  assert.deepEqual(found, [true, true, true, false, false]);
  assert.equal(isUnfinished({ status: "failed" }), false);
});

test("a steer is loose until it is in an answer, or a message of its own", () => {
  const signals = ["s_read", "s_late", "s_next"].map((id) => steer({ id, status: "delivered" }));
  const applied = steer({ id: "s_old", status: "applied" });
  const messages = [message("m_1", 10, { type: "steering-message", id: "s_read", parts: [] }), message("s_late", 20)];
  assert.deepEqual(ids(signalStatus(...signals, applied).looseSteers(messages)), ["s_next"]);
});

test("steers and messages are in the order of writing, unsent ones last", () => {
  const unsent = { ...message("s_unsent", 18), status: "waiting" };
  const messages = [message("m_1", 10), message("m_2", 20), unsent];
  const steers = [
    steer({ id: "s_1" }),
    steer({ id: "s_2", at: 25 }),
    steer({ id: "s_3", at: 17, actor: null, status: "waiting" }),
    steer({ id: "s_4", at: 19, actor: null, status: "failed", reason: "Too long" }),
  ];
  const merged = interleave(messages, steers);
  assert.deepEqual(ids(merged), ["m_1", "s_1", "m_2", "s_2", "s_3", "s_unsent", "s_4"]);
  const [, held, , , , , failed] = merged;
  assert.deepEqual([held.role, held.status, held.loose, held.parts[0].text], ["user", "complete", true, "Shorter"]);
  assert.deepEqual([failed.status, failed.reason], ["failed", "Too long"]);
});
