// The block splitter: text in pieces is split like the whole text.
import assert from "node:assert/strict";
import { test } from "node:test";

import { BlockSplitter } from "../../static/holdfast/page/markdown-blocks.js";

const ANSWER = `# A heading
Some *text* with a
soft break
#tag that continues the paragraph

Setext
------

- one
- two

  still two
    - nested

      deep

1. first

   \`\`\`js
   inListItem();
   \`\`\`
2. second

text that a table interrupts
| a | b |
|---|:-:|
| 1 | 2 |

> quote
lazy continuation
> > deeper

\`\`\`python
def f():

    return "~~~"
\`\`\`

~~~
unlabelled
~~~
    indented code
    goes on

<details>
<summary>html</summary>

inside

</details>

***
***bold and italic***
last words`;

function keys(text) {
  return new BlockSplitter().split(text).map((block) => block.key);
}

test("a text read character by character is cut like the whole text at every cut", () => {
  const splitter = new BlockSplitter();
  for (let end = 0; end <= ANSWER.length; end += 1) {
    const prefix = ANSWER.slice(0, end);
    assert.deepEqual(splitter.split(prefix).map((block) => block.key), keys(prefix), `cut at ${end}`);
  }
});

test("a random walk of pieces is cut like the whole text", () => {
  const pieces = [
    ..."ab|*`\\#", "\n", "\n\n", "- ", "  ", "    ", "```", "# ", "b c", "|---|", "> ", "1. ", "---", "===", "**", "<b>", "<!--", "-->",
  ];
  let seed = 7;
  const next = () => (seed = (seed * 1103515245 + 12345) % 2 ** 31);
  for (let round = 0; round < 150; round += 1) {
    const splitter = new BlockSplitter();
    let text = "";
    for (let step = 0; step < 40; step += 1) {
      text += pieces[(next() >> 8) % pieces.length];
      assert.deepEqual(splitter.split(text).map((block) => block.key), keys(text), JSON.stringify(text));
    }
  }
});

test("a block that is settled keeps its token, so that it isn't rendered again", () => {
  const splitter = new BlockSplitter();
  const before = splitter.split("one\n\ntwo\n\nthree");
  const after = splitter.split("one\n\ntwo\n\nthree\n\nfour");
  assert.equal(after[0].token, before[0].token);
  assert.equal(after.length, 4);
});

test("a link definition changes the blocks that refer to it", () => {
  const splitter = new BlockSplitter();
  const [before] = splitter.split("see [docs]\n\nx\n\ny\n\nz");
  const [after] = splitter.split("see [docs]\n\nx\n\ny\n\nz\n\n[docs]: https://example.com/");
  assert.notEqual(after.key, before.key);
  assert.equal(after.token.tokens.some((token) => token.type === "link"), true);
});

test("a text that is replaced starts again", () => {
  const splitter = new BlockSplitter();
  splitter.split("one\n\ntwo\n\nthree\n\nfour");
  assert.deepEqual(splitter.split("other").map((block) => block.token.raw), ["other"]);
});

test("line ends of Windows cut where line feeds do", () => {
  assert.deepEqual(keys("a\r\n\r\nb"), keys("a\n\nb"));
});

const DEEP = {
  quotes: ">".repeat(5_000),
  "ordered lists": "1. ".repeat(1_400),
  "bulleted lists": `${"* ".repeat(1_400)}x`,
  "lists in quotes": "> - ".repeat(1_000),
  emphasis: `${"*a **b ".repeat(300)}${"c** d*".repeat(300)}`,
  "struck emphasis": `${"~~a *b ".repeat(300)}${"c* d~~".repeat(300)}`,
};

for (const [what, deep] of Object.entries(DEEP)) {
  test(`${what} too deep to be read are plain text, and the blocks around them are not`, () => {
    const blocks = new BlockSplitter().split(`# before\n\n*b*\n\n${deep}\n\n- after\n\n*end*`);
    assert.deepEqual(blocks.map(({ type }) => type), ["heading", "paragraph", "plain", "list", "paragraph"]);
    assert.equal(blocks[2].token.raw.trim(), deep.trim());
    assert.ok(blocks[2].token.error instanceof RangeError);
    assert.equal(blocks[4].token.tokens[0].type, "em");
  });
}

test("a text with blocks that are too deep is cut at every piece like the whole text", () => {
  const deep = ">".repeat(110);
  const text = `a\n\n${deep}x\n\nb\n${deep}\nlazy\n\n${"- ".repeat(110)}y\n\n## c\n\nd`;
  const splitter = new BlockSplitter();
  for (let end = 0; end <= text.length; end += 5) {
    const prefix = text.slice(0, end);
    assert.deepEqual(splitter.split(prefix).map((block) => block.key), keys(prefix), `cut at ${end}`);
  }
  assert.equal(splitter.split(text).filter(({ type }) => type === "plain").length, 3);
});

test("links defined on either side of a block that is too deep are followed", () => {
  const text = `see [one] and [two]\n\n[one]: https://one.example/\n\n${DEEP.quotes}\n\n[two]: https://two.example/\n[one]: https://no.example/`;
  const [paragraph, plain] = new BlockSplitter().split(text);
  const addresses = paragraph.token.tokens.filter(({ type }) => type === "link").map(({ href }) => href);
  assert.deepEqual(addresses, ["https://one.example/", "https://two.example/"]);
  assert.equal(plain.type, "plain");
});

test("as many levels as the limit are read", () => {
  assert.deepEqual(new BlockSplitter().split(`${">".repeat(90)} x`).map(({ type }) => type), ["blockquote"]);
});
