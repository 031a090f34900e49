// The outbox of unconfirmed signals: order, receipts, the send lock, limits, reloads, tabs.

import assert from "node:assert/strict";
import test from "node:test";
import { MAX_BYTES, MAX_SIGNALS, Outbox, RECEIPT_TIMEOUT_MS, LOCK_PATIENCE_MS } from "../../static/holdfast/outbox.js";
import { Clock } from "./support/clock.mjs";
import { Tabs } from "./support/tabs.mjs";

const FULL = { code: "storage_unavailable", message: "later", retryable: true };
const BAD = { code: "bad_signal", message: "never", retryable: false };
const GONE = { code: "not_found", message: "gone", retryable: false };

/** A browser whose tabs share signals; what they tell each other arrives with `settle`. */
function browser() {
  const clock = new Clock();
  const tabs = new Tabs(clock);
  return {
    tabs,
    open: (session = "s1") => new Outbox(tabs.share(session)),
    settle: () => clock.advance(10),
  };
}

function signal(id, text = id) {
  return { id, kind: "message", payload: { parts: [{ type: "text", text }] } };
}

function decision(id) {
  return { id, kind: "cancel", payload: {} };
}

/** An outbox of these signals, in the only tab, which holds the lock. */
function filled(...ids) {
  const { open, settle } = browser();
  const outbox = open();
  for (const id of ids) outbox.add(signal(id), 0);
  outbox.next(0);
  settle();
  return outbox;
}

const states = (outbox) => outbox.signals.map(({ id, state }) => [id, state]);

test("signals go out in order, one on its way at a time", () => {
  const outbox = filled("a", "b");
  assert.equal(outbox.next(0).id, "a");
  assert.equal(outbox.next(0), null);
  outbox.accepted("a", 1);
  assert.equal(outbox.next(0).id, "b");
});

test("a signal is sent again with its id when its receipt does not come", () => {
  const outbox = filled("a");
  outbox.next(0);
  assert.equal(outbox.next(RECEIPT_TIMEOUT_MS - 1), null);
  assert.equal(outbox.deadline, RECEIPT_TIMEOUT_MS);
  assert.equal(outbox.next(RECEIPT_TIMEOUT_MS).id, "a");
});

test("signals in flight when the connection was lost are sent again", () => {
  const { open, settle } = browser();
  const outbox = open();
  for (const id of ["a", "b"]) outbox.add(signal(id), 0);
  outbox.next(0);
  settle();
  assert.equal(outbox.next(0).id, "a");
  outbox.disconnected();
  assert.deepEqual(states(outbox), [["a", "waiting"], ["b", "waiting"]]);
  outbox.next(1);
  settle();
  assert.equal(outbox.next(1).id, "a");
});

test("an accepted signal stays until the session shows it", () => {
  const outbox = filled("a");
  outbox.accepted("a", 5);
  outbox.forget(4);
  assert.deepEqual(states(outbox), [["a", "accepted"]]);
  outbox.forget(5);
  assert.deepEqual(states(outbox), []);
});

test("a receipt counts once", () => {
  const outbox = filled("a");
  const receipts = [];
  outbox.onsettled = (receipt) => receipts.push(receipt);
  outbox.accepted("a", 5);
  outbox.accepted("a", 5);
  outbox.rejected("a", BAD, 0, 0.5);
  outbox.accepted("unknown", 5);
  assert.deepEqual(receipts, [{ id: "a", status: "accepted", serial: 5 }]);
});

test("a retryable refusal keeps a signal waiting, at the head, and backs off", () => {
  const outbox = filled("a", "b");
  outbox.next(0);
  outbox.rejected("a", FULL, 0, 1);
  assert.equal(outbox.next(499), null);
  assert.equal(outbox.next(500).id, "a");
  outbox.rejected("a", FULL, 500, 1);
  assert.equal(outbox.deadline, 1_500);
});

test("a permanent refusal keeps the signal visible and lets the next one go", () => {
  const outbox = filled("a", "b");
  outbox.next(0);
  outbox.rejected("a", BAD, 0, 1);
  assert.equal(outbox.signals[0].error, BAD);
  assert.deepEqual(states(outbox), [["a", "rejected"], ["b", "waiting"]]);
  assert.equal(outbox.next(0).id, "b");
});

test("a decision waits for nothing before it, and nothing waits for it", () => {
  const outbox = filled("a", "b");
  assert.equal(outbox.next(0).id, "a");
  outbox.rejected("a", FULL, 0, 1);
  for (const id of ["stop", "deny"]) outbox.add(decision(id), 0);
  assert.equal(outbox.deadline, 0);
  assert.deepEqual([outbox.next(0).id, outbox.next(0).id, outbox.next(0)], ["stop", "deny", null]);
  outbox.rejected("stop", FULL, 0, 1);
  outbox.accepted("deny", 5);
  assert.equal(outbox.next(500).id, "a");
  assert.equal(outbox.next(500).id, "stop");
});

test("a decision that is due together with earlier work goes after it", () => {
  const outbox = filled("a");
  outbox.add(decision("stop"), 0);
  assert.deepEqual([outbox.next(0).id, outbox.next(0).id], ["a", "stop"]);
});

test("nothing is kept of a decision that is refused permanently", () => {
  const { open, settle, tabs } = browser();
  const outbox = open();
  outbox.add(decision("stop"), 0);
  outbox.rejected("stop", BAD, 0, 0);
  settle();
  assert.deepEqual([outbox.signals, tabs.kept.size], [[], 0]);
});

test("each change of a signal gives it a greater revision", () => {
  const outbox = filled("a");
  const revisions = [outbox.signals[0].revision];
  for (const act of [() => outbox.next(0), () => outbox.disconnected(), () => outbox.rejected("a", BAD, 0, 0)]) {
    act();
    revisions.push(outbox.signals[0].revision);
  }
  assert.equal(new Set(revisions).size, 4);
  assert.deepEqual(revisions, revisions.toSorted((a, b) => a - b));
});

test("a reload keeps what is not confirmed, in order, shows what was refused, and forgets the rest", () => {
  const { open, settle } = browser();
  const before = open();
  for (const id of ["z", "accepted", "refused", "a"]) before.add(signal(id), 7);
  before.accepted("accepted", 1);
  before.rejected("refused", BAD, 7, 0);

  const after = open();
  settle();
  assert.deepEqual(states(after), [["z", "waiting"], ["refused", "rejected"], ["a", "waiting"]]);
  after.next(8);
  settle();
  assert.deepEqual(after.next(8).payload, { parts: [{ type: "text", text: "z" }] });
});

test("signals typed before the database is loaded go after the stored ones", () => {
  const { open, settle } = browser();
  open().add(signal("before the reload"), 1);
  const after = open();
  after.add(signal("typed at once"), 2);
  assert.equal(after.next(2), null);
  settle();
  assert.equal(after.next(2).id, "before the reload");
});

test("tabs see each other's signals in the order of typing, and one sends at a time", () => {
  const { open, settle } = browser();
  const [one, two] = [open(), open()];
  for (const [outbox, id, at] of [[one, "a", 1], [two, "b", 2], [one, "c", 3]]) outbox.add(signal(id), at);
  settle();
  for (const outbox of [one, two]) assert.deepEqual(outbox.signals.map(({ id }) => id), ["a", "b", "c"]);
  for (const outbox of [one, two]) outbox.next(3);
  settle();
  assert.equal(one.next(3).id, "a");
  assert.equal(two.next(3), null);
  one.accepted("a", 1);
  settle();
  assert.deepEqual(states(two), [["a", "accepted"], ["b", "waiting"], ["c", "waiting"]]);
});

for (const [how, leave] of [["loses its connection", (tab) => tab.disconnected()], ["is closed", (tab) => tab.close()]]) {
  test(`a tab that ${how} releases the lock to another`, () => {
    const { open, settle } = browser();
    const [one, two] = [open(), open()];
    one.add(signal("a"), 1);
    settle();
    for (const outbox of [one, two]) outbox.next(1);
    settle();
    one.next(1);
    leave(one);
    settle();
    assert.equal(two.next(1).id, "a");
  });
}

test("a tab that never gets the lock sends all the same", () => {
  const { open, settle } = browser();
  const [asleep, awake] = [open(), open()];
  asleep.add(signal("a"), 0);
  settle();
  for (const outbox of [asleep, awake]) outbox.next(0);
  assert.equal(awake.deadline, LOCK_PATIENCE_MS);
  assert.equal(awake.next(LOCK_PATIENCE_MS - 1), null);
  assert.equal(awake.next(LOCK_PATIENCE_MS).id, "a");
});

test("the lock is released when nothing is left to send", () => {
  const { open, settle } = browser();
  const [one, two] = [open(), open()];
  one.add(signal("a"), 1);
  one.next(1);
  settle();
  one.next(1);
  one.accepted("a", 1);
  assert.equal(one.next(1), null);
  two.add(signal("b"), 2);
  two.next(2);
  settle();
  assert.equal(two.next(2).id, "b");
});

test("receipts, refusals and dismissals reach every tab", () => {
  const { open, settle } = browser();
  const [one, two] = [open(), open()];
  const receipts = [];
  two.onsettled = (receipt) => receipts.push(receipt);
  for (const id of ["a", "b"]) one.add(signal(id), 1);
  settle();
  one.accepted("a", 5);
  one.rejected("b", BAD, 1, 0);
  settle();
  assert.deepEqual(receipts, [{ id: "a", status: "accepted", serial: 5 }, { id: "b", status: "rejected", error: BAD }]);
  two.dismiss("b");
  settle();
  assert.deepEqual(states(one), [["a", "accepted"]]);
});

test("sessions do not see each other's signals", () => {
  const { open, settle } = browser();
  open("s1").add(signal("a"), 0);
  const other = open("s10");
  settle();
  assert.deepEqual(other.signals, []);
});

test("only a failed signal can be dismissed", () => {
  const outbox = filled("waits", "sent");
  outbox.dismiss("waits");
  outbox.dismiss("unknown");
  assert.equal(outbox.signals.length, 2);
});

test("waiting and failed signals have a limit; accepted ones do not count", () => {
  const outbox = filled();
  for (let number = 0; number < MAX_SIGNALS; number += 1) outbox.add(signal(`${number}`), 0);
  outbox.rejected("0", BAD, 0, 0);
  assert.throws(() => outbox.add(signal("more"), 0), { code: "outbox_full", retryable: true });
  outbox.add(decision("stop"), 0);
  outbox.accepted("1", 1);
  outbox.add(signal("more"), 0);
});

test("their text has a limit in bytes", () => {
  const outbox = filled();
  assert.throws(() => outbox.add(signal("a", "ü".repeat(MAX_BYTES / 2)), 0), { code: "outbox_full" });
  outbox.add(signal("b", "x".repeat(MAX_BYTES / 2)), 0);
  assert.throws(() => outbox.add(signal("c", "x".repeat(MAX_BYTES / 2)), 0), { code: "outbox_full" });
  assert.deepEqual(outbox.signals.map(({ id }) => id), ["b"]);
});

test("when the session is gone all signals fail and none is kept, also those found later", () => {
  const { open, settle, tabs } = browser();
  const before = open();
  for (const id of ["a", "b"]) before.add(signal(id), 0);
  before.rejected("a", BAD, 0, 0);
  const after = open();
  const receipts = [];
  after.onsettled = ({ id, error }) => receipts.push([id, error.code]);
  after.failAll(GONE);
  settle();
  assert.deepEqual(receipts, [["b", "not_found"]]);
  assert.equal(tabs.kept.size, 0);
});
