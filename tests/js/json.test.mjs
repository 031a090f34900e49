// JSON from the server: integers that a number can't hold stay exact, as text.
import assert from "node:assert/strict";
import { test } from "node:test";

import { parseJson } from "../../static/holdfast/json.js";
import { parseFrame } from "../../static/holdfast/protocol.js";
import { seeded } from "./support/random.mjs";

test("an unsafe integer becomes its digits; everything else is as JSON.parse has it", () => {
  const text = '{"a":9007199254740993,"b":[-9007199254740993,18446744073709551615],"c":9007199254740991,"d":1e3}';
  assert.deepEqual(parseJson(text), {
    a: "9007199254740993",
    b: ["-9007199254740993", "18446744073709551615"],
    c: 9007199254740991,
    d: 1000,
  });
  assert.equal(parseJson("9007199254740993"), "9007199254740993");
  assert.deepEqual(parseJson("[0.12345678901234567,1e400]"), [0.12345678901234567, "1e400"]);
});

test("digits within strings and keys are text already", () => {
  for (const value of ["9007199254740993", '\\"9007199254740993', 'a"9007199254740993"', "\\", "\\\\9007199254740993"]) {
    const data = { [value]: value, list: [value, 9007199254740991] };
    assert.deepEqual(parseJson(JSON.stringify(data)), data);
  }
});

test("random values with large integers are parsed exactly", () => {
  const random = seeded(7);
  const pick = (list) => list[Math.floor(random() * list.length)];
  const strings = ["", '"', "\\", '\\"', "12345678901234567890", "{}[],:"];
  for (let round = 0; round < 300; round += 1) {
    const parts = Array.from({ length: 6 }, () => pick([JSON.stringify(pick(strings)), "12345678901234567890", "1.5", "-7"]));
    const quoted = parts.map((part) => (part === "12345678901234567890" ? `"${part}"` : part));
    assert.deepEqual(parseJson(`[${parts.join(", ")}]`), JSON.parse(`[${quoted.join(",")}]`));
  }
});

test("frames keep large integers, and what is no JSON is no frame", () => {
  assert.deepEqual(parseFrame('{"type":"events","n":9007199254740993}'), { type: "events", n: "9007199254740993" });
  for (const text of ["", "{", '{"type":"a","n":9007199254740993', '"9007199254740993']) assert.equal(parseFrame(text), null);
});

test("a long text with long digits takes linear time", () => {
  const text = JSON.stringify({ text: '\\"9007199254740993'.repeat(50_000) });
  assert.equal(parseJson(text).text.length, JSON.parse(text).text.length);
});
