// Branches: continued answers as one, and alternatives.

import assert from "node:assert/strict";
import test from "node:test";
import { alternativesOf, joinContinued, responsesOf } from "../../static/holdfast/branches.js";

const text = (written, state = "done") => ({ type: "text", text: written, state });
const STEP = { type: "step-start" };
const THOUGHT = { type: "reasoning", id: "r", text: "hm", state: "done" };

function message(id, parts, fields = {}) {
  const place = { parent: null, continues: null, replaced_by: null };
  return { id, role: "assistant", status: "complete", reason: null, metadata: null, parts, open: {}, ...place, ...fields };
}

test("a chain of continuations is one answer, with the end of the last", () => {
  const broken = message("m_1", [STEP, text("Hello w", "streaming")], { status: "failed", reason: "gone", parent: "u_1", first_serial: 2 });
  const further = message("m_2", [STEP, text("or", "streaming")], { status: "interrupted", continues: "m_1", parent: "m_1", first_serial: 5 });
  const last = message("m_3", [STEP, text("ld")], { continues: "m_2", parent: "m_2", first_serial: 9 });
  const [answer, ...others] = joinContinued([broken, further, last]);
  assert.deepEqual(others, []);
  assert.deepEqual(answer.parts, [STEP, text("Hello world")]);
  assert.deepEqual([answer.id, answer.status, answer.reason, answer.parent, answer.first_serial], ["m_1", "complete", null, "u_1", 2]);
  assert.deepEqual(responsesOf(answer), ["m_1", "m_2", "m_3"]);
  assert.deepEqual(broken.parts, [STEP, text("Hello w", "streaming")], "the messages are unchanged");
});

test("only texts that meet are joined", () => {
  const cases = [
    [[text("a")], [STEP, THOUGHT, text("b")], [THOUGHT, text("ab")]],
    [[text("a"), STEP], [STEP, text("b")], [text("a"), STEP, STEP, text("b")]],
    [[THOUGHT], [text("b")], [THOUGHT, text("b")]],
    [[text("a")], [STEP, { type: "tool-x" }, text("b")], [text("a"), STEP, { type: "tool-x" }, text("b")]],
    [[], [text("b")], [text("b")]],
    [[text("a")], [STEP], [text("a"), STEP]],
    [[text("a")], [null], [text("a"), null]],
  ];
  for (const [earlier, later, parts] of cases) {
    const chain = [message("m_1", earlier), message("m_2", later, { continues: "m_1" })];
    assert.deepEqual(joinContinued(chain)[0].parts, parts);
  }
});

test("other messages are the same objects, and a continuation whose beginning isn't loaded stands alone", () => {
  const unsent = { id: "s_1", role: "user", status: "waiting", parts: [] };
  const messages = [message("m_2", [], { continues: "m_1" }), message("m_3", []), unsent];
  assert.ok(joinContinued(messages).every((each, index) => each === messages[index]));
  assert.deepEqual(responsesOf(unsent), ["s_1"]);
});

test("alternatives have the same parent and role, the one on show last", () => {
  const replaced = joinContinued([
    message("m_1", [], { parent: "u_1", replaced_by: "m_3" }),
    message("m_2", [], { parent: "m_1", continues: "m_1", replaced_by: "m_3" }),
    message("u_2", [], { role: "user", parent: "u_1", replaced_by: "m_3" }),
    message("m_3", [], { parent: "u_1", replaced_by: "m_4" }),
  ]);
  const shown = message("m_4", [], { parent: "u_1" });
  assert.deepEqual(alternativesOf(shown, replaced).map(({ id }) => id), ["m_1", "m_3", "m_4"]);
  const first = message("m_0", []);
  assert.deepEqual(alternativesOf(first, [message("m_x", [], { replaced_by: "m_0" })]), [first]);
});
