// Closing of bold and code in growing Markdown.
import assert from "node:assert/strict";
import { test } from "node:test";

import { closeInline } from "../../static/holdfast/page/close-inline.js";

const CASES = [
  ["open bold is closed", "2. **Open this", "2. **Open this**"],
  ["bold that is half closed is closed", "a **b*", "a **b**"],
  ["a space before the end doesn't keep bold from closing", "a **b ", "a **b**"],
  ["bold that has only begun is left alone", "a **", "a **"],
  ["closed bold is left alone", "a **b** c", "a **b** c"],
  ["the second bold of a line is closed", "**a** and **b", "**a** and **b**"],
  ["open code is closed", "use `kill -9", "use `kill -9`"],
  ["closed code is left alone", "use `a` and", "use `a` and"],
  ["stars in closed code are not bold", "`**x` and", "`**x` and"],
  ["stars in open code are not bold", "use `**x", "use `**x`"],
  ["an earlier line is left alone", "**a\nplain", "**a\nplain"],
  ["a bullet is not bold", "* item", "* item"],
  ["a rule is not bold", "***", "***"],
  ["what is in a fence is code already", "```py\na = **b", "```py\na = **b"],
  ["a fence that begins is left alone", "```p", "```p"],
  ["after a fence it closes again", "```\nx\n```\n**a", "```\nx\n```\n**a**"],
];

for (const [name, text, closed] of CASES) test(name, () => assert.equal(closeInline(text), closed));
