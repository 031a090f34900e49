// Pacing: how much of a growing text is shown at a time.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Pacing } from "../../static/holdfast/page/pacing.js";
import { seeded } from "./support/random.mjs";

const MOST_MS = 200;
const PIECES = ["word ", "another ", "a", ", ", "\n\n", "👩‍👩‍👧‍👦", "e\u0301", "会话是持久的", "`code`", "🇩🇪", "x".repeat(50)];
const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** A pacing of a text that has arrived word by word, a gap apart, with the time of the latest arrival. */
function begun(gap, count = 4) {
  const pacing = new Pacing();
  let text = "";
  for (let index = 0; index < count; index += 1) pacing.arrive((text += "word "), index * gap, true);
  return { pacing, text, now: (count - 1) * gap };
}

/** What is shown of the text at these times after an arrival. */
function shownAt({ pacing, now }, text, times) {
  return times.map((ms) => text.slice(0, pacing.shownAt(now + ms)));
}

/** What is shown at once of twelve words that arrive now. */
function atOnce({ pacing, text, now }, isEven = true) {
  const whole = text + "word ".repeat(12);
  pacing.arrive(whole, now, isEven);
  return pacing.shownAt(now) === whole.length;
}

test("words that arrive together are spread over the time to the next arrival", () => {
  const { pacing, text, now } = begun(160);
  const whole = `${text}one two six ten `;
  pacing.arrive(whole, now + 160, true);
  const shown = shownAt({ pacing, now: now + 160 }, whole, [0, 39, 41, 81, 121, 1_000]);
  const added = shown.map((part) => part.slice(text.length).trim());
  assert.deepEqual(added, ["one", "one", "one two", "one two six", "one two six ten", "one two six ten"]);
});

test("a word that arrives alone is shown when it arrives", () => {
  const { pacing, text, now } = begun(150);
  pacing.arrive(`${text}durable`, now + 150, true);
  assert.equal(pacing.shownAt(now + 150), text.length + "durable".length);
});

test("the first text is shown at once", () => {
  assert.ok(atOnce({ pacing: new Pacing(), text: "", now: 5 }));
});

test("text that arrives as often as from a server that is not loaded is shown at once", () => {
  const often = begun(40);
  assert.ok(atOnce({ ...often, now: often.now + 40 }));
  const seldom = begun(100);
  assert.ok(!atOnce({ ...seldom, now: seldom.now + 100 }));
});

test("text after a pause is shown at once, and the text after it too", () => {
  const { pacing, text, now } = begun(150);
  const after = { pacing, text, now: now + 501 };
  assert.ok(atOnce(after));
  const next = { pacing, text: text + "word ".repeat(12), now: after.now + 150 };
  assert.ok(!atOnce(next));
});

test("more than a screenful is shown at once", () => {
  const { pacing, text, now } = begun(150);
  pacing.arrive(text + "word ".repeat(120), now + 150, true);
  assert.ok(pacing.shownAt(now + 150) < text.length + 600);
  pacing.arrive(text + "word ".repeat(242), now + 160, true);
  assert.equal(pacing.shownAt(now + 160), text.length + 242 * 5);
});

test("text that is not to be spread is shown at once, with what waited", () => {
  const { pacing, text, now } = begun(150);
  assert.ok(!atOnce({ pacing, text, now: now + 150 }));
  assert.ok(atOnce({ pacing, text: text + "word ".repeat(12), now: now + 160 }, false));
  const { pacing: other, text: begin, now: then } = begun(150);
  assert.ok(!atOnce({ pacing: other, text: begin, now: then + 150 }));
  other.finish();
  assert.equal(other.shownAt(then + 150), begin.length + 60);
});

test("another text is shown at once", () => {
  const { pacing, now } = begun(150);
  const other = `Other ${"words ".repeat(20)}`;
  pacing.arrive(other, now + 150, true);
  assert.equal(pacing.shownAt(now + 150), other.length);
  pacing.arrive("Other", now + 300, true);
  assert.equal(pacing.shownAt(now + 300), "Other".length);
});

test("what waits is spread again with what arrives", () => {
  const { pacing, text, now } = begun(150);
  const first = text + "word ".repeat(10);
  pacing.arrive(first, now + 150, true);
  const shown = pacing.shownAt(now + 200);
  assert.ok(shown > text.length && shown < first.length);
  const second = first + "word ".repeat(10);
  pacing.arrive(second, now + 200, true);
  assert.ok(pacing.shownAt(now + 200) >= shown);
  assert.ok(pacing.shownAt(now + 210) < second.length);
  assert.equal(pacing.shownAt(now + 200 + MOST_MS), second.length);
});

test("the time to the next arrival is at most 200 ms", () => {
  const { pacing, text, now } = begun(450);
  const whole = text + "word ".repeat(12);
  pacing.arrive(whole, now + 450, true);
  assert.ok(pacing.shownAt(now + 450 + MOST_MS / 2) < whole.length);
  assert.equal(pacing.shownAt(now + 450 + MOST_MS), whole.length);
});

test("what is shown grows, is whole graphemes of what arrived, and all of it within 200 ms", () => {
  const random = seeded(7);
  let inPart = 0;
  for (let round = 0; round < 300; round += 1) {
    const pacing = new Pacing();
    let [text, now, last] = ["", 1_000, 0];
    const arrived = new Set([0]);
    for (let arrival = 0; arrival < 20; arrival += 1) {
      const count = 1 + Math.floor(random() * 10);
      for (let index = 0; index < count; index += 1) text += PIECES[Math.floor(random() * PIECES.length)];
      arrived.add(text.length);
      const starts = new Set(Array.from(graphemes.segment(text), ({ index }) => index));
      const gap = random() < 0.1 ? 2_000 * random() : 10 + 240 * random();
      pacing.arrive(text, now, true);
      for (let ms = 0; ms < gap; ms += 1 + 20 * random()) {
        const shown = pacing.shownAt(now + ms);
        assert.ok(shown >= last && shown <= text.length);
        assert.ok(arrived.has(shown) || starts.has(shown), JSON.stringify({ text, shown }));
        if (ms >= MOST_MS) assert.equal(shown, text.length);
        if (shown < text.length) inPart += 1;
        last = shown;
      }
      now += gap;
    }
    assert.equal(pacing.shownAt(now + MOST_MS), text.length);
  }
  assert.ok(inPart > 5_000, String(inPart));
});
