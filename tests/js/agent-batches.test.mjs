// The npm package holdfast-agent: batches of what an agent writes, against a site that refuses and is slow; its types.

import assert from "node:assert/strict";
import { test } from "node:test";

import { BATCH_BYTES, Waiting } from "../../agents_app/node/batches.js";
import { HoldfastError } from "../../agents_app/node/errors.js";
import { Response } from "../../agents_app/node/response.js";

const text = (delta) => ({ type: "text-delta", id: "t", delta });
const start = { type: "start", messageId: "m_1" };
const read = (chunks) => chunks.map(({ delta = "" }) => delta).join("");

/** A response whose site stores batches, and refuses each with a chunk of the type `bad`. */
function responding({ until = Promise.resolve() } = {}) {
  const stored = [];
  const response = new Response("m_1", async ({ sequence, chunks, usage }) => {
    await until;
    if (chunks.some(({ type }) => type === "bad")) throw new HoldfastError("bad_chunk", "no");
    assert.equal(sequence, stored.length + 1);
    stored.push({ chunks, usage });
  });
  return { response, stored };
}

test("deltas of one part are joined, others and their order stay", () => {
  const waiting = new Waiting();
  for (const chunk of [start, text("a"), text("b"), { ...text("c"), providerMetadata: {} }, { ...text("d"), id: "u" }]) waiting.add(chunk);
  assert.deepEqual(waiting.take(), [start, text("ab"), { ...text("c"), providerMetadata: {} }, { ...text("d"), id: "u" }]);
  assert.deepEqual([waiting.isEmpty, waiting.bytes], [true, 0]);
});

test("long texts are divided between code points, into batches that fit a frame", () => {
  const waiting = new Waiting();
  const long = "a" + "\u{1F600}\0é".repeat(40_000);
  waiting.add(text(long));
  let all = "";
  while (!waiting.isEmpty) {
    const batch = waiting.take();
    assert.ok(Buffer.byteLength(JSON.stringify(batch)) <= BATCH_BYTES + 2);
    for (const { delta } of batch) assert.ok(delta.isWellFormed());
    all += read(batch);
  }
  assert.equal(all, long);
});

test("a chunk that is too large is refused, and one that changes later is written as it was", () => {
  const waiting = new Waiting();
  assert.throws(() => waiting.add({ type: "data-x", data: "x".repeat(70_000) }), { code: "bad_chunk" });
  const chunk = { type: "data-x", data: [1] };
  waiting.add(chunk);
  chunk.data.push(2);
  assert.deepEqual(waiting.take(), [{ type: "data-x", data: [1] }]);
});

test("one batch is in flight, and what is written meanwhile is the next one", async () => {
  let open;
  const { response, stored } = responding({ until: new Promise((resolve) => (open = resolve)) });
  await response.write(start);
  const flushed = response.flush();
  for (const word of ["a", "b", "c"]) await response.write(text(word));
  response.count({ input_tokens: 1, output_tokens: 2 });
  open();
  await flushed;
  assert.deepEqual(stored, [
    { chunks: [start], usage: undefined },
    { chunks: [text("abc")], usage: { input_tokens: 1, output_tokens: 2 } },
  ]);
});

test("writes wait while too much is unstored", async () => {
  let open;
  const { response } = responding({ until: new Promise((resolve) => (open = resolve)) });
  let isWritten = false;
  const written = response.write(text("x".repeat(200_000))).then(() => (isWritten = true));
  await new Promise(setImmediate);
  assert.equal(isWritten, false);
  open();
  await written;
});

test("what surrounds a malformed chunk is stored up to it, and the end follows with the next number", async () => {
  const { response, stored } = responding();
  for (const chunk of [start, text("a"), { type: "bad" }, text("b")]) await response.write(chunk);
  await assert.rejects(response.flush(), { code: "bad_chunk" });
  await assert.rejects(response.write(text("c")), { code: "bad_chunk" });
  await response.close({ type: "error", errorText: "no" });
  assert.deepEqual(stored.flatMap(({ chunks }) => chunks), [start, text("a"), { type: "error", errorText: "no" }]);
  await assert.rejects(response.write(text("d")), { code: "fenced" });
});

test("a fenced response takes no end", async () => {
  const response = new Response("m_1", async () => {
    throw new HoldfastError("fenced", "another");
  });
  await response.write(start);
  await assert.rejects(response.close({ type: "finish" }), { code: "fenced" });
});
