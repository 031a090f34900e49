// Tool arguments as shown for an approval decision.
import assert from "node:assert/strict";
import { test } from "node:test";

import { argumentsProblem, exactJson, layOut } from "../../static/holdfast/page/exact-json.js";

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
    for (const text of [exactJson(value), layOut(JSON.stringify(value))]) {
      assert.ok(!text.includes(character), JSON.stringify(character));
      assert.deepEqual(JSON.parse(text), value);
    }
  }
  assert.match(exactJson({ path: "invoice\u202efdp.exe" }), /invoice\\u202efdp\.exe/);
});

test("a text is laid out as JSON.stringify does it", () => {
  const values = [{}, [], { a: {} }, { a: [] }, { a: [1, [2, { b: "}]," }], []], c: { d: null } }, { '"\\': "\\\"" }];
  for (const value of values) {
    const text = JSON.stringify(value, null, 2);
    for (const given of [text, JSON.stringify(value), `\n\t${text}\r\n`]) assert.equal(layOut(given), text);
  }
});

test("no token of a text is changed", () => {
  const numbers = ["9007199254740993", "18446744073709551616", "1.10", "1e400", "-0", "0.1000000000000000055", "1E+2"];
  const text = `{"a":[${numbers.join(",")}],"a":"\\u0061\\/","a":true}`;
  assert.equal(layOut(text).replace(/\s/g, ""), text);
});

test("deep and long texts take neither long nor much room", () => {
  const deep = "[".repeat(20_000) + "]".repeat(20_000);
  assert.ok(layOut(deep).length < 2 * deep.length);
  assert.equal(layOut(deep).replace(/\s/g, ""), deep);
  const long = JSON.stringify({ text: 'x\\"'.repeat(100_000) });
  assert.equal(JSON.parse(layOut(long)).text, JSON.parse(long).text);
});

test("edited arguments must be a JSON object; the problem is named", () => {
  for (const text of ['{"to": "bob"}', '{"n": 18446744073709551615, "m": -9223372036854775808}', '{"t": "1e999"}']) {
    assert.equal(argumentsProblem(text), null);
  }
  for (const text of ["[]", "null", "1", '"text"']) assert.match(argumentsProblem(text), /^Arguments must be an object/);
  for (const text of ["", "{", "{to: 1}"]) assert.match(argumentsProblem(text), /^Invalid JSON: /);
  for (const number of ["18446744073709551616", "-9223372036854775809", "9".repeat(400), "1e400"]) {
    assert.equal(argumentsProblem(`{"n": [${number}]}`), `This number is too large to be kept exactly: ${number}`);
  }
});
