// Places where growing text may be cut.
import assert from "node:assert/strict";
import { test } from "node:test";

import { textCuts } from "../../static/holdfast/page/text-cuts.js";
import { seeded } from "./support/random.mjs";

const fallback = await withoutSegmenter(() => import("../../static/holdfast/page/text-cuts.js?fallback"));

// Letters, signs, and graphemes of several code points.
const PIECES = [
  "a", "word ", "Word, ", ". ", " ", "\n", "\r\n", "7", "**", "`", "long".repeat(20), "-".repeat(30), "é", "e\u0301\u0323",
  " \u0301", "😀", "👍🏽", "👩‍👩‍👧‍👦", "👩🏽‍💻 ", "🇩🇪", "🇫🇷", "1️⃣", "会话", "これは", "ประเทศไทย", "น้ำ", " ำ",
  "각", " 🏽", "\u1112\u1161\u11ab", "क्षि", "नमस्ते ", "\u0600", "שלום ", "\u200d", "\u00ad", "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
];
const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

async function withoutSegmenter(load) {
  const { Segmenter } = Intl;
  delete Intl.Segmenter;
  try {
    return await load();
  } finally {
    Object.defineProperty(Intl, "Segmenter", { value: Segmenter, configurable: true, writable: true });
  }
}

function boundaries(text) {
  return new Set(Array.from(graphemes.segment(text), ({ index }) => index));
}

function randomText(random) {
  const length = Math.floor(random() * 60);
  return Array.from({ length }, () => PIECES[Math.floor(random() * PIECES.length)]).join("");
}

const pieces = (text, cuts) => [0, ...cuts].map((cut, index) => text.slice(cut, cuts[index]));

test("text is cut before words and their markers", () => {
  const text = "It is *sunny*, today; 12°.";
  assert.deepEqual(pieces(text, textCuts(text, 0)), ["It ", "is ", "*sunny*, ", "today; ", "12°."]);
  assert.deepEqual(textCuts(text, 3), [6, 15, 22]);
  assert.deepEqual(textCuts(text, text.length), []);
  assert.deepEqual(textCuts("", 0), []);
});

test("scripts without spaces are cut between words", () => {
  for (const text of ["会话是持久的,不会丢失。", "これは日本語の文章です。", "ประเทศไทยมีประชากรมาก"]) {
    assert.ok(textCuts(text, 0).length >= 3, text);
  }
});

test("long words and long runs of signs are cut, too", () => {
  assert.deepEqual(textCuts("x".repeat(60), 0), [24, 48]);
  assert.deepEqual(textCuts("😀".repeat(30), 0), [24, 48]);
  assert.deepEqual(textCuts("👩‍👩‍👧‍👦".repeat(6), 0), [33]);
});

test("a grapheme that has begun before is not cut", () => {
  assert.deepEqual(textCuts("क्षि x", 1), [5]);
  assert.deepEqual(textCuts(`${"word ".repeat(20)}क्षि x`, 101), [105]);
});

for (const [name, cutsOf] of [["with", textCuts], ["without", fallback.textCuts]]) {
  test(`cuts rise and are never inside a grapheme, ${name} Intl.Segmenter`, () => {
    const random = seeded(1);
    let found = 0;
    for (let round = 0; round < 2_000; round += 1) {
      const text = randomText(random);
      const whole = boundaries(text);
      const starts = [...whole];
      const start = starts[Math.floor(random() * starts.length)] ?? 0;
      const cuts = cutsOf(text, start);
      found += cuts.length;
      let last = start;
      for (const cut of cuts) {
        assert.ok(cut > last && cut < text.length, JSON.stringify({ text, start, cuts }));
        assert.ok(whole.has(cut), JSON.stringify({ text, start, cut }));
        last = cut;
      }
    }
    assert.ok(found > 2_000);
  });
}

test("without Intl.Segmenter text is cut after spaces", () => {
  const text = "It is *sunny*,\n  today; 12°.";
  assert.deepEqual(pieces(text, fallback.textCuts(text, 0)), ["It ", "is ", "*sunny*,\n  ", "today; ", "12°."]);
});
