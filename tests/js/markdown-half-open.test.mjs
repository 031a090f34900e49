// Growing Markdown: no markers flash up, and nothing that is complete is held back.
import assert from "node:assert/strict";
import { test } from "node:test";

import { holdLine, holdMarkers } from "../../static/holdfast/page/markdown/half-open.js";

const LINES = [
  ["a bullet without text is held back: below text it would underline a heading", "text\n-", "text\n"],
  ["a number without text is held back", "text\n\n12.", "text\n\n"],
  ["a task without text is held back", "- a\n- [ ", "- a\n"],
  ["a rule is held back until its line has ended", "a\n\n--", "a\n\n"],
  ["a rule is shown when its line has ended", "a\n\n---\n", "a\n\n---\n"],
  ["the end of a fence is held back", "```js\nx\n``", "```js\nx\n"],
  ["a quote without text is held back", "a\n\n> ", "a\n\n"],
  ["text is shown", "text", "text"],
  ["a bullet with text is shown", "- t", "- t"],
  ["a long line of markers is shown", ">".repeat(500), ">".repeat(500)],
  ["the first row of a table is its head", "a\n\n| b | c |", "a\n\n| b | c |\n|-|-|"],
  ["the first row of a table is its head while the delimiters come", "| b | c |\n|--|", "| b | c |\n|-|-|"],
  ["an escaped bar isn't a column", "| b \\| c |", "| b \\| c |\n|-|"],
  ["a later row of a table is shown as it is", "| b |\n|--|\n| c", "| b |\n|--|\n| c"],
];

for (const [name, text, held] of LINES) test(name, () => assert.equal(holdLine(text), held));

const CONTENTS = [
  ["markers at the end are held back", "a **", "a "],
  ["the half of the closing markers is held back", "a **b*", "a **b"],
  ["open code is closed", "use `kill -9", "use `kill -9`"],
  ["open code with backticks is closed", "use ``a ` b", "use ``a ` b``"],
  ["code that has only begun is held back", "use `", "use "],
  ["closed code is left alone", "use `a` and", "use `a` and"],
  ["a marker in open code is left alone", "use `**x", "use `**x`"],
  ["an open link is its text", "see [the docs](https://a.ex", "see the docs"],
  ["an open link with parentheses is its text", "see [x](https://a.example/x_(y)", "see x"],
  ["an open link with a title is its text", 'see [x](https://a.example "ti', "see x"],
  ["a closed link is left alone", "see [x](https://a.example/x_(y)) and", "see [x](https://a.example/x_(y)) and"],
  ["an open label is its text", "see [the do", "see the do"],
  ["a label that has ended is its text", "see [the docs]", "see the docs"],
  ["brackets without an address are left alone", "see [1] and", "see [1] and"],
  ["an index is left alone", "a[0]", "a[0]"],
  ["an open image is its text", "see ![a chart](https://a.ex", "see a chart"],
  ["the beginning of a tag is held back", "H<su", "H"],
  ["the beginning of an entity is held back", "a&nbs", "a"],
  ["an escape is held back", "a\\", "a"],
  ["an earlier line is left alone", "`a\nplain", "`a\nplain"],
  ["a comparison is left alone", "a < b", "a < b"],
];

for (const [name, text, held] of CONTENTS) test(name, () => assert.equal(holdMarkers(text), held));
