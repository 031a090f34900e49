// Even reveal of growing Markdown in the document.
import assert from "node:assert/strict";
import { afterEach, before, beforeEach, mock, test } from "node:test";

const JSDOM = await import("jsdom").then((module) => module.JSDOM).catch(() => null);
const skip = JSDOM === null && "jsdom isn't installed";
const FRAME_MS = 16;
const GAP_MS = 160;
const MOST_MS = 200;
const WORDS = "**one** two three `four` five six seven eight nine ten. ";
let MarkdownView, Revealer, RevealedMarkdown;
let motion, hidden, frames, now, revealer, warnings;

before(async () => {
  if (skip) return;
  const { window } = new JSDOM("<body></body>", { url: "https://holdfast.example/s/a/" });
  Object.defineProperty(window.document, "hidden", { get: () => hidden });
  Object.assign(globalThis, { window, document: window.document, CustomEvent: window.CustomEvent });
  Object.assign(globalThis, {
    matchMedia: () => motion,
    requestAnimationFrame: (draw) => frames.push(draw),
    cancelAnimationFrame: (frame) => frame && (frames[frame - 1] = null),
  });
  ({ MarkdownView } = await import("../../static/holdfast/page/markdown.js"));
  ({ Revealer, RevealedMarkdown } = await import("../../static/holdfast/page/revealer.js"));
});

beforeEach(() => {
  if (skip) return;
  motion = Object.assign(new EventTarget(), { matches: false });
  [hidden, frames, now, warnings] = [false, [], 1_000, []];
  mock.method(performance, "now", () => now);
  mock.method(console, "warn", (...words) => warnings.push(words.join(" ")));
  revealer = new Revealer();
});

afterEach(() => mock.restoreAll());

/** Draw the next animation frame. @returns {boolean} whether one was asked for */
function frame() {
  now += FRAME_MS;
  const asked = frames.filter(Boolean);
  frames = [];
  for (const draw of asked) draw();
  assert.ok(asked.length <= 1);
  return asked.length === 1;
}

/** Draw frames as long as they are asked for. @param {() => void} [look] called after each */
function allFrames(look = () => {}) {
  for (let count = 0; frame(); count += 1) {
    assert.ok(count < 100, "frames without end");
    look();
  }
}

/** A text that arrives a gap apart; the first arrival is whole. */
class Growing {
  view = new RevealedMarkdown();
  text = "";

  constructor() {
    for (let count = 0; count < 3; count += 1) this.grow("word ");
  }

  grow(words, isGrowing = true) {
    now += GAP_MS;
    this.text += words;
    this.view.update(this.text, isGrowing, revealer);
    return this;
  }

  get shown() {
    return this.view.element.innerHTML;
  }

  get isWhole() {
    return this.view.element.textContent.endsWith("ten.");
  }
}

const begun = () => new Growing().grow(WORDS);

function drawn(text, growing) {
  const view = new MarkdownView();
  view.update(text, growing);
  return view.element.innerHTML;
}

test("text that arrives at once is drawn in steps, and whole within 200 ms", { skip }, () => {
  const growing = begun();
  const [steps, since] = [new Set([growing.shown]), now];
  const prefixes = new Set(Array.from(growing.text, (_, end) => drawn(growing.text.slice(0, end + 1), true)));
  allFrames(() => steps.add(growing.shown));
  assert.ok(now - since <= MOST_MS + FRAME_MS);
  assert.ok(steps.size >= 4 && steps.size <= 6, String(steps.size));
  for (const step of steps) assert.ok(prefixes.has(step), step);
  assert.equal(growing.shown, drawn(growing.text, true));
  assert.equal(growing.grow("", false).shown, drawn(growing.text, false));
});

test("texts share their frames, and there are none while no text is revealed", { skip }, () => {
  const texts = [new Growing(), new Growing()];
  assert.equal(frame(), false);
  for (const text of texts) text.view.update(text.text + WORDS, true, revealer);
  assert.equal(frames.length, 1);
  assert.ok(texts.every(({ isWhole }) => !isWhole));
  allFrames();
  assert.ok(texts.every(({ isWhole }) => isWhole));
  assert.equal(frames.length, 0);
});

test("each frame tells once that it has drawn", { skip }, () => {
  const texts = [begun(), begun()];
  let told = 0;
  revealer.addEventListener("drawn", () => (told += 1));
  frame();
  assert.equal(told, 1);
  assert.equal(texts.length, 2);
});

test("an end shows all at once", { skip }, () => {
  const growing = begun();
  growing.view.update(growing.text, false, revealer);
  assert.equal(growing.shown, drawn(growing.text, false));
});

test("finishing shows all at once, and asks for no frames", { skip }, () => {
  const growing = begun();
  assert.ok(!growing.isWhole);
  revealer.finish();
  assert.ok(growing.isWhole);
  assert.equal(frame(), false);
  assert.ok(!growing.grow(WORDS).isWhole);
});

test("with reduced motion text is shown at once, also when that is chosen while it is revealed", { skip }, () => {
  const growing = begun();
  assert.ok(!growing.isWhole);
  motion.matches = true;
  motion.dispatchEvent(new Event("change"));
  assert.ok(growing.isWhole);
  assert.equal(growing.grow(WORDS).shown, drawn(growing.text, true));
  assert.equal(frame(), false);
  motion.matches = false;
  motion.dispatchEvent(new Event("change"));
  assert.notEqual(growing.grow(WORDS).shown, drawn(growing.text, true));
});

test("in a hidden page text is shown at once", { skip }, () => {
  const growing = new Growing();
  hidden = true;
  assert.ok(growing.grow(WORDS).isWhole);
  assert.equal(frame(), false);
});

test("a text that is drawn again unchanged is no arrival", { skip }, () => {
  const growing = begun();
  const since = now;
  allFrames(() => {
    const { shown } = growing;
    growing.view.update(growing.text, true, revealer);
    assert.equal(growing.shown, shown);
  });
  assert.ok(now - since <= MOST_MS);
  assert.ok(growing.isWhole);
});

test("a text that can't be drawn stops no other, and isn't logged", { skip }, (context) => {
  const [broken, other] = [new Growing(), new Growing()];
  const { update } = MarkdownView.prototype;
  context.mock.method(MarkdownView.prototype, "update", function (text, growing) {
    if (text.includes("secret")) throw new TypeError(`not ${text}`);
    return update.call(this, text, growing);
  });
  broken.view.update(`${broken.text}${"words ".repeat(20)}secret`, true, revealer);
  other.view.update(other.text + WORDS, true, revealer);
  allFrames();
  assert.ok(other.isWhole);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0], /can't be drawn: TypeError/);
  assert.doesNotMatch(warnings[0], /secret/);
});

test("what isn't text is refused each time", { skip }, () => {
  const view = new RevealedMarkdown();
  for (const text of [undefined, { toString: "a" }, undefined]) {
    assert.throws(() => view.update(text, true, revealer), TypeError);
  }
});
