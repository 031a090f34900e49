// Server-sent events, cut anywhere.

import assert from "node:assert/strict";
import test from "node:test";
import { EventParser } from "../../static/holdfast/network/stream.js";

const TEXT = ": padding\n\nid: e1-3\ndata: {\"one\":1}\n\nretry: 500\n\ndata:two\ndata: lines\r\n\r\ndata\n\nevent: x\ndata: \n\n";
const EVENTS = ['{"one":1}', "two\nlines", ""];

test("only data is read, and an event is its lines", () => {
  assert.deepEqual(new EventParser().feed(TEXT), EVENTS);
});

test("the text may be cut anywhere", () => {
  for (let cut = 0; cut <= TEXT.length; cut += 1) {
    const parser = new EventParser();
    assert.deepEqual([...parser.feed(TEXT.slice(0, cut)), ...parser.feed(TEXT.slice(cut))], EVENTS, `at ${cut}`);
  }
  const parser = new EventParser();
  assert.deepEqual([...TEXT].flatMap((character) => parser.feed(character)), EVENTS);
});

test("an unfinished event is not reported", () => {
  assert.deepEqual(new EventParser().feed("data: half\n"), []);
});
