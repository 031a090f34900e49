// The client's fold: the test cases of the server's fold, and the client's own functions.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { apply, applyPatch, begin, ended, fold, FoldError, held } from "../../static/holdfast/fold.js";

function cases(name) {
  return JSON.parse(readFileSync(new URL(`../fixtures/${name}`, import.meta.url)));
}

function events(chunks) {
  return chunks.map((chunk, index) => ({ serial: index + 1, message: "m_1", chunk, at: 1000 }));
}

function folded(chunks) {
  const messages = new Map();
  for (const event of structuredClone(events(chunks))) fold(messages, event);
  return messages.get("m_1");
}

/** As it would come over the wire: no prototypes, no revision, nothing undefined. */
function plain({ revision, ...message }) {
  return JSON.parse(JSON.stringify(message));
}

function refusal(action) {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof FoldError, error.stack);
    return error.code;
  }
  return null;
}

describe("it folds", () => {
  for (const { name, chunks, message } of cases("fold.json")) {
    test(name, () => {
      const result = plain(folded(chunks));
      for (const field of Object.keys(message)) assert.deepEqual(result[field], message[field]);
      assert.deepEqual([result.first_serial, result.last_serial, result.created_at], [1, chunks.length, 1000]);
    });
  }
});

describe("it refuses", () => {
  for (const { name, before, chunk, code } of cases("refused.json")) {
    test(`${name}, and nothing has changed`, () => {
      const messages = new Map();
      const [last, ...earlier] = events([...before, chunk]).reverse();
      for (const event of earlier.reverse()) fold(messages, event);
      const unchanged = structuredClone([...messages]);
      assert.equal(refusal(() => fold(messages, last)), code);
      assert.deepEqual(structuredClone([...messages]), unchanged);
    });
  }

  test("a chunk type of a newer server", () => {
    assert.equal(refusal(() => apply(folded([{ type: "start" }]), 2, { type: "hologram" })), "unknown_chunk");
  });
});

describe("it takes patches", () => {
  for (const { name, chunks, after, patch } of cases("patches.json")) {
    test(name, () => {
      const now = plain(folded(chunks));
      const have = after > 0 ? folded(chunks.slice(0, after)) : undefined;
      assert.deepEqual(plain(applyPatch(have, { ...structuredClone(now), ...structuredClone(patch) })), now);
    });
  }

  test("and folds on from there", () => {
    const chunks = [{ type: "start" }, { type: "text-start", id: "__proto__" }];
    const message = applyPatch(undefined, { ...plain(folded(chunks)), from: 0, at: 0 });
    apply(message, 3, { type: "text-delta", id: "__proto__", delta: "x" });
    apply(message, 4, { type: "text-end", id: "__proto__" });
    assert.deepEqual(message.parts, [{ type: "text", text: "x", state: "done" }]);
  });

  for (const [from, at] of [[2, 0], [0, 3], [1, 1]]) {
    test(`a patch that builds on part ${from}, unit ${at}, which isn't here, is a reset`, () => {
      const have = folded([{ type: "start" }, { type: "text-start", id: "t" }]);
      const patch = { ...plain(folded([{ type: "start" }])), from, at };
      assert.equal(refusal(() => applyPatch(have, patch)), "reset");
    });
  }
});

test("held lengths are in UTF-16 units, 0 for parts without text", () => {
  const text = { type: "text-delta", id: "t", delta: "é🙂" };
  const message = folded([{ type: "start" }, { type: "start-step" }, { type: "text-start", id: "t" }, text]);
  assert.deepEqual(held(message), [0, 3]);
});

test("each change gives a greater revision, a refusal does not", () => {
  const message = begin({ serial: 1, message: "m_1", chunk: { type: "start" }, at: 0 });
  const first = message.revision;
  apply(message, 2, { type: "text-start", id: "t" });
  assert.equal(message.revision, first + 1);
  refusal(() => apply(message, 3, { type: "text-delta", id: "u", delta: "x" }));
  assert.equal(message.revision, first + 1);
  const patched = applyPatch(message, { ...plain(message), from: 1, at: 0, parts: [] });
  assert.equal(patched.revision, first + 2);
});

test("metadata can't reach a prototype", () => {
  const evil = JSON.parse('{"a": {"__proto__": {"polluted": true}}, "constructor": {"prototype": {"polluted": true}}}');
  folded([{ type: "start", messageMetadata: { a: {} } }, { type: "message-metadata", messageMetadata: evil }]);
  assert.equal({}.polluted, undefined);
});

test("a message has ended when its status says so", () => {
  assert.equal(ended(folded([{ type: "start" }])), false);
  assert.equal(ended(folded([{ type: "start" }, { type: "finish" }])), true);
});
