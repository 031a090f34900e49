// The block splitter: text in pieces is split like the whole text.
import assert from "node:assert/strict";
import { test } from "node:test";

import { BlockSplitter } from "../../static/holdfast/page/markdown/splitter.js";

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

function nodes(text, growing) {
  return new BlockSplitter().split(text, growing).map(({ node }) => node);
}

test("a text read character by character is cut like the whole text at every cut", () => {
  const splitter = new BlockSplitter();
  for (let end = 0; end <= ANSWER.length; end += 1) {
    const prefix = ANSWER.slice(0, end);
    for (const growing of [true, false]) {
      const cut = splitter.split(prefix, growing).map(({ node }) => node);
      assert.deepEqual(cut, nodes(prefix, growing), `cut at ${end}`);
    }
  }
});

test("a random walk of pieces is cut like the whole text", () => {
  const pieces = [
    ..."ab|*`\\#", "\n", "\n\n", "- ", "  ", "    ", "```", "# ", "b c", "|---|", "> ", "1. ", "---", "===", "**", "<b>", "$$", "\\[", "\\]", "[a]: /b", "[a]",
  ];
  let seed = 7;
  const next = () => (seed = (seed * 1103515245 + 12345) % 2 ** 31);
  for (let round = 0; round < 150; round += 1) {
    const splitter = new BlockSplitter();
    let text = "";
    for (let step = 0; step < 40; step += 1) {
      text += pieces[(next() >> 8) % pieces.length];
      assert.deepEqual(splitter.split(text).map(({ node }) => node), nodes(text), JSON.stringify(text));
    }
  }
});

test("a block that is settled stays the same object, so that it isn't drawn again", () => {
  const splitter = new BlockSplitter();
  const before = splitter.split("one\n\ntwo\n\nthree");
  const after = splitter.split("one\n\ntwo\n\nthree\n\nfour");
  assert.equal(after[0], before[0]);
  assert.equal(after.length, 4);
});

test("the source of a block is its own lines", () => {
  const sources = new BlockSplitter().split("# a\n\n- b\n  c\n\n[d]: /e\n\nf").map(({ source }) => source.trimEnd());
  assert.deepEqual(sources, ["# a", "- b\n  c", "f"]);
});

test("a link definition is known however the text was cut, and the first of its name counts", () => {
  const text = "see [docs]\n\n[docs]: https://one.example/\n\nx\n\ny\n\n[Docs]: https://two.example/\n\nz\n\nend";
  const splitter = new BlockSplitter();
  for (let end = 1; end <= text.length; end += 1) splitter.split(text.slice(0, end), end < text.length);
  assert.equal(splitter.references.DOCS.href, "https://one.example/");
});

test("a text that is replaced starts again", () => {
  const splitter = new BlockSplitter();
  splitter.split("one\n\ntwo\n\nthree\n\nfour");
  assert.deepEqual(splitter.split("other").map(({ source }) => source), ["other"]);
});

test("line ends of Windows cut where line feeds do", () => {
  assert.deepEqual(nodes("a\r\n\r\nb"), nodes("a\n\nb"));
});
