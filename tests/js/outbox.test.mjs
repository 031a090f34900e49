// Signals that wait to be confirmed: order, receipts, reloads, two tabs.

import assert from "node:assert/strict";
import test from "node:test";
import { Outbox, RECEIPT_TIMEOUT_MS, signalStorage } from "../../static/holdfast/outbox.js";
import { MemoryStorage } from "./support/memory-storage.mjs";

const FULL = { code: "storage_unavailable", message: "later", retryable: true };
const BAD = { code: "bad_signal", message: "never", retryable: false };

function outboxOf(storage, session = "s1") {
  return new Outbox(signalStorage(storage, session));
}

function signal(id) {
  return { id, kind: "message", payload: { parts: [{ type: "text", text: id }] } };
}

function filled(...ids) {
  const outbox = outboxOf(new MemoryStorage());
  for (const id of ids) outbox.add(signal(id), 0);
  return outbox;
}

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

test("what was on its way when the connection was lost is sent again", () => {
  const outbox = filled("a", "b");
  outbox.next(0);
  outbox.disconnected();
  assert.equal(outbox.next(1).id, "a");
});

test("an accepted signal stays until the session shows it", () => {
  const outbox = filled("a");
  outbox.accepted("a", 5);
  outbox.forget(4);
  assert.deepEqual(outbox.signals.map(({ id, state }) => [id, state]), [["a", "accepted"]]);
  outbox.forget(5);
  assert.deepEqual(outbox.signals, []);
});

test("a receipt counts once", () => {
  const outbox = filled("a");
  assert.equal(outbox.accepted("a", 5).serial, 5);
  assert.equal(outbox.accepted("a", 5), null);
  assert.equal(outbox.rejected("a", BAD, 0, 0.5), null);
  assert.equal(outbox.accepted("unknown", 5), null);
});

test("a retryable refusal keeps a signal waiting, at the head, and backs off", () => {
  const outbox = filled("a", "b");
  outbox.next(0);
  assert.equal(outbox.rejected("a", FULL, 0, 1), null);
  assert.equal(outbox.next(499), null);
  assert.equal(outbox.next(500).id, "a");
  outbox.rejected("a", FULL, 500, 1);
  assert.equal(outbox.deadline, 1_500);
});

test("a refusal for good keeps the signal to be shown and lets the next one go", () => {
  const outbox = filled("a", "b");
  outbox.next(0);
  assert.equal(outbox.rejected("a", BAD, 0, 1).error, BAD);
  assert.deepEqual(outbox.signals.map(({ state }) => state), ["rejected", "waiting"]);
  assert.equal(outbox.next(0).id, "b");
});

test("a reload keeps what is not confirmed, in order, and forgets the rest", () => {
  const storage = new MemoryStorage();
  const before = outboxOf(storage);
  for (const id of ["z", "accepted", "refused", "a"]) before.add(signal(id), 7);
  before.next(7);
  before.accepted("accepted", 1);
  before.rejected("refused", BAD, 7, 0);

  const after = outboxOf(storage);
  assert.deepEqual(after.signals.map(({ id, state }) => [id, state]), [["z", "waiting"], ["a", "waiting"]]);
  assert.deepEqual(after.next(8).payload, { parts: [{ type: "text", text: "z" }] });
});

test("two tabs do not overwrite each other's signals", () => {
  const storage = new MemoryStorage();
  const [one, two] = [outboxOf(storage), outboxOf(storage)];
  one.add(signal("from-one"), 1);
  two.add(signal("from-two"), 2);
  assert.deepEqual(outboxOf(storage).signals.map(({ id }) => id), ["from-one", "from-two"]);
});

test("sessions do not see each other's signals", () => {
  const storage = new MemoryStorage();
  outboxOf(storage, "s1").add(signal("a"), 0);
  assert.deepEqual(outboxOf(storage, "s10").signals, []);
});

test("without a usable storage signals live as long as the page", () => {
  const full = new MemoryStorage();
  full.setItem = () => {
    throw new Error("QuotaExceededError");
  };
  for (const storage of [full, null]) {
    const outbox = outboxOf(storage);
    outbox.add(signal("a"), 0);
    assert.equal(outbox.next(0).id, "a");
  }
});

test("a damaged entry does not cost the others", () => {
  const storage = new MemoryStorage();
  outboxOf(storage).add(signal("a"), 0);
  storage.setItem("holdfast.outbox.s1.b", "{");
  storage.setItem("holdfast.outbox.s1.c", "null");
  assert.deepEqual(outboxOf(storage).signals.map(({ id }) => id), ["a"]);
});
