// Tool arguments as shown for an approval decision.
import assert from "node:assert/strict";
import { test } from "node:test";

import { exactJson, readArguments } from "../../static/holdfast/page/exact-json.js";

test("the shown JSON is exactly the value", () => {
  const value = { to: "ann", tags: ["a", 1, null, true], text: "line\nline \"quoted\" é 😀" };
  assert.deepEqual(JSON.parse(exactJson(value)), value);
  assert.match(exactJson(value), /é 😀/);
  assert.equal(exactJson(undefined), "");
});

test("invisible and bidirectional characters are escaped, and the value is unchanged", () => {
  const unseen = ["\u202e", "\u2066", "\u200b", "\u00ad", "\ufeff", "\u2028", "\u007f", "\u00a0", "\u3164", "\ufe0f"];
  for (const character of [...unseen, "\u{e0041}"]) {
    const value = { path: `invoice${character}fdp.exe`, [`a${character}b`]: 1 };
    const text = exactJson(value);
    assert.ok(!text.includes(character), JSON.stringify(character));
    assert.deepEqual(JSON.parse(text), value);
  }
  assert.match(exactJson({ path: "invoice\u202efdp.exe" }), /invoice\\u202efdp\.exe/);
});

test("edited arguments must be a JSON object; the problem is named", () => {
  assert.deepEqual(readArguments('{"to": "bob"}'), { input: { to: "bob" }, problem: null });
  for (const text of ["[]", "null", "1", '"text"']) assert.match(readArguments(text).problem, /^Arguments must be an object/);
  for (const text of ["", "{", "{to: 1}"]) assert.match(readArguments(text).problem, /^Invalid JSON: /);
});
