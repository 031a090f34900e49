// Limits of Markdown: every input takes linear time and makes a shallow tree, and loses no text.
import assert from "node:assert/strict";
import { test } from "node:test";

import { holdMarkers } from "../../static/holdfast/page/markdown/half-open.js";
import { inlineNodes } from "../../static/holdfast/page/markdown/nodes.js";
import { parseInline } from "../../static/holdfast/page/markdown/parser.js";
import { BlockSplitter } from "../../static/holdfast/page/markdown/splitter.js";
import { skip, view as newView } from "./support/markdown-dom.mjs";

// Levels of blocks, of inline elements, and what a table adds.
const DEPTH = 64;
// Four times the text may take eight times the time: twice of what is linear, half of what is quadratic.
const GROWTH = 4;
const RATIO = 8;
const SIZE = 2_500;
const LEAST_MS = 2; // shorter times are noise
const ATTEMPTS = 6;
const MS_PER_CHARACTER = 0.2; // twenty times what a slow machine takes

/** Every node that a text makes, inline ones included, without drawing them. */
function measure(text, growing) {
  const splitter = new BlockSplitter();
  const open = splitter.split(text, growing).map(({ node }) => [node, 1]);
  let count = 0;
  let depth = 0;
  while (open.length) {
    const [node, level] = open.pop();
    count += 1;
    depth = Math.max(depth, level);
    for (const child of childrenOf(node, splitter.references)) open.push([child, level + 1]);
  }
  return { count, depth };
}

function childrenOf({ content, children, growing }, references) {
  if (content === undefined) return children;
  const shown = growing ? holdMarkers(content) : content;
  return inlineNodes(parseInline(shown, references, Boolean(growing)), shown);
}

/** CPU time, which other processes don't lengthen as much. */
function msOf(work) {
  const { user: start } = process.cpuUsage();
  work();
  return (process.cpuUsage().user - start) / 1000;
}

const REPEATED = [
  ">", "> ", "1. ", "* ", "- ", "*", "_", "**", "~~", "~", "`", "_a_", "*a ", "**a ", "a** ", "**a**", "*a **b ", "a *b_c ", "~~a ",
  "**a*", "*_", "***a", "a***b", "[", "![", "[a](", "[a](b ", "![a](", "![a][", "[a][b]", "[[a]]", "]", "](", '[a](b "c', "[a](<b",
  "[a]: b\n", "[a]: /b 'c\n", '[a]: /b "c\n', "[a]: /b\n'c\n", "[a]\n", "[^1]: x\n", "<", "<a ", "<b>", "</b>", "<b><i>", "<!--", "<?", "<a@b",
  "&", "&amp;", "&#1;", "&#x", "\\", "\\(", "\\[", "\\(a", "\\[ \n", "\\[\n\n", "- \\[\n", "> $$\n", "$", "$$", "$a", "$a$", "$$\n", "$$\n\n",
  "|", "|-", "||\n", "a|b\n", "| a | b |\n|--|--|\n", "|a|\n|-|\n", "a\n-\n", "a\n=", "===\n", "---\n", "#", "# a\n", "```\n", "``` `", "`a``b```c",
  "http://", "http://a.b ", "https://a.b/(", "https://a.b/)", "https://a.b/[", "www.", "www.a.b ", "a@b.c ", "a@", "@", 'a;"', "x://", "a:a://",
  "- a\n  ", "  - a\n", "> a\n", "> - a\n", ">\n", "\n", " ", "\t", "- \n", "-\n\n", "1.\n", "    a\n", "\t- a\n", "- [ ] a\n", "a\n", "a  \n", "\\\n",
  "，", "**，", "a**，**", "（**x**）", "https://a.b，", "م", "\u202e", "\ud83d", "👍**", "<br>", "<kbd>", "<div>\n", "<div>\n\n", "<a href=\"b\">", "<!-- ", "<!---->", "</a>", "%", "{", "a",
];
const half = (n, unit) => Math.ceil(n / 2 / unit);
const FAMILIES = {
  ...Object.fromEntries(REPEATED.map((unit) => [JSON.stringify(unit), (n) => unit.repeat(Math.ceil(n / unit.length))])),
  "lists indented ever deeper": (n) => Array.from({ length: Math.sqrt(n) }, (_, i) => `${"  ".repeat(i)}- a\n`).join(""),
  "brackets in brackets": (n) => "[".repeat(half(n, 1)) + "a" + "]".repeat(half(n, 1)),
  "links in links": (n) => "[".repeat(half(n, 1)) + "a" + "](u)".repeat(half(n, 4)),
  "images in images": (n) => "![".repeat(half(n, 2)) + "](u)".repeat(half(n, 4)),
  "images in images, often": (n) => ("![".repeat(30) + "](u)".repeat(30)).repeat(Math.ceil(n / 180)),
  "asterisks around a letter": (n) => `${"*".repeat(half(n, 1))}a${"*".repeat(half(n, 1))}`,
  "emphasis in emphasis": (n) => "*a **b ".repeat(half(n, 7)) + "c** d*".repeat(half(n, 6)),
  "ever longer backticks": (n) => Array.from({ length: Math.sqrt(n) }, (_, i) => `${"`".repeat(i + 1)}a`).join(""),
  "wide table, short rows": (n) => `${"|a".repeat(n / 8)}|\n${"|-".repeat(n / 8)}|\n${"|\n".repeat(n / 4)}`,
  "wide tables, short rows": (n) => `${"|a".repeat(100)}|\n${"|-".repeat(100)}|\n${"|\n".repeat(50)}\n`.repeat(Math.ceil(n / 500)),
  "long address": (n) => `https://a.b/${"c".repeat(n)}`,
  "long destination": (n) => `[a](https://a.b/${"%".repeat(n)})`,
  "long name of an email address": (n) => `${"a".repeat(n)}@b.c`,
  "long label": (n) => `[a]: /x\n\n[${"a".repeat(n)}]`,
  "labels": (n) => `[a]: /x\n\n${`[${"a ".repeat(400)}]`.repeat(Math.ceil(n / 800))}`,
  "definitions and their uses": (n) =>
    Array.from({ length: n / 20 }, (_, i) => `[a${i}]: /b${i}\n`).join("") + Array.from({ length: n / 20 }, (_, i) => `\n[a${i}]`).join(""),
  "lazy lines": (n) => `> a\n${"b\n".repeat(n / 2)}`,
  "quotes in quotes": (n) => `${"> ".repeat(30)}a\n`.repeat(Math.ceil(n / 62)),
  "quotes too deep": (n) => `${"> ".repeat(60)}a\n`.repeat(Math.ceil(n / 122)),
  "lists in lists": (n) => `${"- ".repeat(15)}a\n`.repeat(Math.ceil(n / 32)),
};

for (const [name, family] of Object.entries(FAMILIES)) {
  test(`linear and shallow: ${name}`, () => {
    const [short, long] = [family(SIZE), family(SIZE * GROWTH)];
    for (const growing of [false, true]) {
      measure(short, growing);
      checkGrowth(() => measure(short, growing), () => measure(long, growing), long.length);
      const { count, depth } = measure(long, growing);
      assert.ok(depth <= DEPTH, `${depth} levels`);
      assert.ok(count <= long.length * 2 + 100, `${count} nodes of ${long.length} characters`);
    }
  });
}

function checkGrowth(short, long, length) {
  const tried = [];
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const [before, after] = [msOf(short), msOf(long)];
    if (after < Math.max(before, LEAST_MS) * RATIO && after < length * MS_PER_CHARACTER) return;
    tried.push(`${before} ms, then ${after} ms`);
  }
  assert.fail(`not linear: ${tried.join("; ")}`);
}

const DEEP = {
  quotes: ">".repeat(5_000),
  "ordered lists": "1. ".repeat(1_400),
  "bulleted lists": "* ".repeat(1_400),
  "lists in quotes": "> - ".repeat(1_000),
  emphasis: `${"*a **b ".repeat(300)}${"c** d*".repeat(300)}`,
  "struck emphasis": `${"~~a *b ".repeat(300)}${"c* d~~".repeat(300)}`,
  tags: "<b><i>".repeat(1_000),
  "indented lists": Array.from({ length: 60 }, (_, level) => `${"  ".repeat(level)}- a`).join("\n"),
};

for (const [what, deep] of Object.entries(DEEP)) {
  test(`${what} too deep to be drawn are shown as they were written, and what is around them is drawn`, { skip }, () => {
    const view = newView();
    view.update(`*before*\n\n${deep}inmost\n\n***\n\n*after*`);
    const blocks = [...view.element.children];
    assert.equal(blocks.length, 4);
    assert.equal(blocks[1].textContent, `${deep}inmost`);
    assert.ok(blocks[1].matches(".plain-text") || blocks[1].querySelector(":scope > .plain-text"));
    assert.deepEqual([blocks[0], blocks[3]].map((block) => block.querySelector("em").textContent), ["before", "after"]);
  });
}

test("as many levels as the limit are drawn", { skip }, () => {
  const view = newView();
  view.update(`${"> ".repeat(20)}x\n\n${"- ".repeat(12)}y`);
  assert.equal(view.element.querySelectorAll("blockquote").length, 20);
  assert.equal(view.element.querySelectorAll("li").length, 12);
  assert.equal(view.element.querySelector(".plain-text"), null);
});

test("rows that lack cells make no more cells than they have", { skip }, () => {
  const view = newView();
  view.update("| a | b | c |\n|---|---|---|\n| 1 |\n| | 2 |\n| x | y | z | too many |");
  const rows = [...view.element.querySelectorAll("tbody tr")].map(({ cells }) => [...cells].map((cell) => cell.textContent));
  assert.deepEqual(rows, [["1"], ["", "2"], ["x", "y", "z"]]);
});

// --- Random texts ---

const WORDS = REPEATED.filter((unit) => unit !== "\ud83d").concat(
  "word ", "\n\n", "\n", " ", "**b** ", "[x](https://a.example/) ", "| a | b |\n|---|---|\n", "| c | d |\n", "```js\ncode\n```\n", "  ", "    ", "[a]: https://b.example/\n\n", "## ",
);

function random(seed) {
  let state = seed;
  return (below) => {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    return (state >> 8) % below;
  };
}

function randomText(next, length) {
  return Array.from({ length }, () => WORDS[next(WORDS.length)].repeat(next(8) ? 1 : next(40))).join("");
}

test("random texts are read in time, and make shallow trees", () => {
  const next = random(11);
  for (let round = 0; round < 150; round += 1) {
    const text = randomText(next, 150);
    let depth;
    checkGrowth(() => {}, () => ({ depth } = measure(text, round % 2 === 0)), Math.max(text.length, 1_000));
    assert.ok(depth <= DEPTH, `${depth} levels: ${JSON.stringify(text)}`);
  }
});

test("random texts that grow look in the end like ones that came whole", { skip }, (context) => {
  context.mock.method(console, "warn", (...words) => assert.fail(words.join(" ")));
  const next = random(7);
  for (let round = 0; round < 60; round += 1) {
    const text = randomText(next, 25);
    const [growing, whole] = [newView(), newView()];
    for (let end = 0; end < text.length; end += 1 + next(12)) growing.update(text.slice(0, end), true);
    growing.update(text);
    whole.update(text);
    assert.equal(growing.element.innerHTML, whole.element.innerHTML, JSON.stringify(text));
  }
});

// --- Long texts ---

test("a long text is drawn in pieces, the first at once, and looks like any other", { skip }, async () => {
  const text = Array.from({ length: 4_000 }, (_, index) => `- item *${index}*\n${index % 50 ? "" : "\n\ntext\n\n"}`).join("");
  const view = newView();
  view.update(text);
  assert.match(view.element.textContent, /item 0/);
  assert.doesNotMatch(view.element.textContent, /item 3999/);
  let pieces = 1;
  while (!view.element.textContent.includes("item 3999")) {
    await new Promise((resolve) => view.element.addEventListener("drawn", resolve, { once: true }));
    pieces += 1;
  }
  assert.equal(pieces, Math.ceil(text.length / 8_192));
  const short = newView();
  for (let end = 4_000; end < text.length; end += 4_000) short.update(text.slice(0, end));
  short.update(text);
  assert.ok(view.element.innerHTML === short.element.innerHTML);
});

test("a large block that grows is drawn less often, and at once when it ends", { skip }, async () => {
  const view = newView();
  let text = "";
  const grow = (count) => {
    text += "- item\n".repeat(count);
    view.update(text, true);
  };
  for (let count = 0; count < 10; count += 1) grow(1_000);
  const items = () => view.element.querySelectorAll("li").length;
  const drawn = items();
  grow(10);
  assert.equal(items(), drawn);
  await new Promise((resolve) => view.element.addEventListener("drawn", resolve, { once: true }));
  assert.ok(items() > drawn);
});

test("a paragraph too long to be parsed whenever it grows is shown as it was written", { skip }, async () => {
  const view = newView();
  const text = "*a* b ".repeat(12_000).trim();
  for (let end = 8_000; end < text.length; end += 8_000) view.update(text.slice(0, end));
  view.update(text);
  while (view.element.textContent.length < text.length) {
    await new Promise((resolve) => view.element.addEventListener("drawn", resolve, { once: true }));
  }
  assert.ok(view.element.textContent === text);
  assert.equal(view.element.querySelector("em"), null);
});

test("a text that is replaced while its pieces are drawn is forgotten", { skip }, async () => {
  const view = newView();
  view.update("long ".repeat(20_000));
  view.update("short");
  await new Promise((resolve) => view.element.addEventListener("drawn", resolve, { once: true }));
  assert.equal(view.element.textContent, "short");
});
