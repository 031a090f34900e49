// Unfold and advance: their chunks fold to the same message, and what follows folds on it as on the original.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { advance } from "../../static/holdfast/advance.js";
import { FoldError, apply, begin, fold } from "../../static/holdfast/fold.js";
import { unfold } from "../../static/holdfast/unfold.js";
import { seeded } from "./support/random.mjs";

const SEEDS = 1500;
const FOLDS = JSON.parse(readFileSync(new URL("../fixtures/fold.json", import.meta.url)));

function folded(chunks) {
  const messages = new Map();
  chunks.forEach((chunk, index) => fold(messages, { serial: index + 1, message: "m_1", chunk, at: 1000 }));
  return messages.get("m_1");
}

/** Of a message what its chunks say. */
function content({ revision, first_serial, last_serial, created_at, ...message }) {
  return JSON.parse(JSON.stringify(message));
}

function refolded(message) {
  return folded(JSON.parse(JSON.stringify(unfold(message))));
}

/** A chunk about few ids, so that many of them meet. The fold may refuse it. */
function anyChunk(chance) {
  const one = (...all) => all[Math.floor(chance() * all.length)];
  const id = one("1", "2");
  const call = { toolCallId: one("a", "b"), toolName: one("x", "y"), ...one({}, { dynamic: true }) };
  const { toolCallId } = call;
  const approvalId = one("A", "B");
  const provider = () => one({}, { providerMetadata: { p: { n: 1 } } }, { providerMetadata: { p: { n: 2 } } });
  const lasting = () => one({}, provider(), { toolMetadata: { t: 1 } }, { providerExecuted: true });
  return one(
    { type: "start-step" },
    { type: "finish-step" },
    one({ type: "reset-step" }, { type: "start-step" }),
    { type: "text-start", id, ...provider() },
    { type: "text-delta", id, delta: one("x", "y", "z") },
    { type: "text-end", id, ...provider() },
    { type: "reasoning-start", id },
    { type: "reasoning-delta", id, delta: "r" },
    { type: "reasoning-end", id, ...provider() },
    { type: "tool-input-start", ...call, ...one({ inputEncoding: "text" }, { title: "T" }, {}) },
    { type: "tool-input-start", ...call },
    { type: "tool-input-delta", toolCallId, inputTextDelta: "i" },
    { type: "tool-input-available", ...call, ...lasting(), ...one({ input: id }, {}) },
    { type: "tool-input-error", ...call, ...one({ input: 0 }, {}), errorText: "wrong" },
    { type: "tool-approval-request", approvalId, toolCallId, ...one({ reason: "r" }, {}) },
    { type: "tool-approval-response", approvalId, approved: chance() < 0.6 },
    { type: "tool-output-available", toolCallId, output: id, ...one({ preliminary: true }, lasting()) },
    { type: "tool-output-error", toolCallId, errorText: "failed", ...lasting() },
    { type: "tool-output-denied", toolCallId },
    { type: "data-d", data: id, ...one({ id: "1" }, {}) },
    { type: "message-metadata", messageMetadata: { [id]: id } },
    { type: "source-url", sourceId: id, url: "https://example.org/" },
  );
}

/** Apply random chunks, of which the fold refuses those that don't fit. */
function goOn(message, chance, length) {
  for (let count = 0; count < length; count += 1) {
    try {
      apply(message, message.last_serial + 1, anyChunk(chance));
    } catch (error) {
      assert.ok(error instanceof FoldError, error.stack);
    }
  }
}

function begun() {
  return begin({ serial: 1, message: "m_1", chunk: { type: "start", messageId: "m_1" }, at: 1000 });
}

describe("chunks of a message fold to it", () => {
  for (const { name, chunks } of FOLDS) {
    test(name, () => {
      for (let cut = 1; cut <= chunks.length; cut += 1) {
        const message = folded(structuredClone(chunks.slice(0, cut)));
        assert.deepEqual(content(refolded(message)), content(message));
      }
    });
  }

  test("of random ones, and later chunks fold on both alike", () => {
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const message = begun();
      goOn(message, seeded(seed), seed % 80);
      const again = refolded(message);
      assert.deepEqual(content(again), content(message), `seed ${seed}`);
      goOn(message, seeded(-seed), 20);
      goOn(again, seeded(-seed), 20);
      assert.deepEqual(content(again), content(message), `seed ${seed}, later`);
    }
  });

  test("of a person's turn, which is one chunk", () => {
    const parts = [{ type: "text", text: "Hello" }];
    const [chunk, ...more] = unfold(folded([{ type: "message", role: "user", parts, metadata: { a: 1 } }]));
    assert.deepEqual([chunk, more], [{ type: "message", role: "user", parts, metadata: { a: 1 } }, []]);
  });
});

describe("a reader is brought to a later state", () => {
  const isReset = (error) => error instanceof FoldError && error.code === "reset";

  for (const { name, chunks } of FOLDS) {
    test(name, () => {
      for (let cut = 1; cut < chunks.length; cut += 1) {
        if (chunks[0].type === "message") continue;
        const have = folded(structuredClone(chunks.slice(0, cut)));
        const now = folded(structuredClone(chunks));
        const reader = refolded(have);
        advance(reader, now);
        assert.deepEqual(content(reader).parts, content(now).parts);
        assert.deepEqual([reader.status, reader.reason, reader.metadata], [now.status, now.reason, now.metadata]);
      }
    });
  }

  test("over random chunks, or is told that it can't be", () => {
    let resets = 0; // the ids of these meet much more often than those of agents
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const message = begun();
      goOn(message, seeded(seed), seed % 30);
      const reader = refolded(message);
      goOn(message, seeded(-seed), 1 + (seed % 20));
      try {
        advance(reader, message);
        assert.deepEqual(content(reader).parts, content(message).parts, `seed ${seed}`);
      } catch (error) {
        if (!isReset(error)) throw error;
        resets += 1;
      }
    }
    assert.ok(resets < SEEDS / 5, `${resets} resets`);
  });

  test("with deltas only, while a text grows", () => {
    const chunks = [{ type: "start" }, { type: "text-start", id: "t" }, { type: "text-delta", id: "t", delta: "Hel" }];
    const reader = refolded(folded(structuredClone(chunks)));
    const now = folded([...structuredClone(chunks), { type: "text-delta", id: "t", delta: "lo" }]);
    assert.deepEqual(advance(reader, now), [{ type: "text-delta", id: "t", delta: "lo" }]);
    assert.deepEqual(advance(reader, now), []);
  });
});
