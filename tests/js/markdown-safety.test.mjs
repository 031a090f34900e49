// Hostile Markdown in a real DOM: nothing runs, loads or deceives, and no text is lost.
import assert from "node:assert/strict";
import { test } from "node:test";

import { skip, view as newView } from "./support/markdown-dom.mjs";

function render(text, pieces = 1) {
  const view = newView();
  const step = Math.ceil(text.length / pieces);
  for (let end = step; end < text.length + step; end += step) view.update(text.slice(0, end));
  return view.element;
}

const HOSTILE = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "<svg onload=alert(1)><animate onbegin=alert(1)>",
  "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
  "<style>body{display:none}</style>",
  "<form action=/logout/ method=post><button>Go</button></form>",
  "<a href=\"javascript:alert(1)\">x</a>",
  "<b onclick=alert(1)>x</b>",
  "<b/onclick=alert(1)>x",
  "[x](javascript:alert(1))",
  "[x](JaVaScRiPt:alert(1))",
  "[x](&#106;avascript:alert(1))",
  "[x](data:text/html;base64,PHNjcmlwdD4=)",
  "[x](vbscript:msgbox)",
  "[x](/logout/)",
  "[x](//evil.example/)",
  "![x](https://evil.example/pixel.png)",
  "![\"><img src=x onerror=alert(1)>](https://evil.example/)",
  "![x](https://evil.example/\"onerror=\"alert(1))",
  "[x](https://a.example/ \"\\\" onclick=alert(1)\")",
  "<https://a.example/\"onclick=alert(1)>",
  "```\"><img src=x onerror=alert(1)>\ncode\n```",
  "`<img src=x onerror=alert(1)>`",
  "| a |\n|---|\n| <img src=x onerror=alert(1)> |",
  "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
  "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
  "<!--><img src=x onerror=alert(1)>-->",
  "[a]: javascript:alert(1)\n\n[a]",
  "<base href=https://evil.example/><meta http-equiv=refresh content=0>",
  "<div style=\"position:fixed;inset:0\" id=composer class=composer>x</div>",
];
const ALLOWED_ATTRIBUTES = new Set(["href", "target", "rel", "title", "start", "dir"]);
const CLASSES = new Set(["tight", "latex", "align-end", "align-center", "plain-text"]);
// What the page itself adds around code.
const OWN = ".code-block figcaption, .code-block figcaption *";

for (const text of HOSTILE) {
  test(`the Markdown view defuses ${JSON.stringify(text)}`, { skip }, () => {
    for (const pieces of [1, 3]) assertHarmless(render(text, pieces));
  });
}

function assertHarmless(element) {
  for (const node of element.querySelectorAll("*")) {
    if (node.matches(OWN) || node.matches(".table-scroll, .code-block, .code-block pre")) continue;
    assert.doesNotMatch(node.localName, /^(script|img|svg|math|iframe|style|form|button|base|meta|object|embed|input)$/);
    for (const { name, value } of node.attributes) {
      const isAllowed = name === "class" ? CLASSES.has(value) : ALLOWED_ATTRIBUTES.has(name);
      assert.ok(isAllowed, `${node.outerHTML}: ${name}`);
    }
    if (node.hasAttribute("href")) assertSafeLink(node);
  }
}

function assertSafeLink(link) {
  assert.match(link.getAttribute("href"), /^(https?:\/\/|mailto:)/);
  assert.equal(link.getAttribute("rel"), "noopener noreferrer nofollow");
  assert.equal(link.getAttribute("target"), "_blank");
}

test("HTML that isn't rendered is shown as it was written", { skip }, () => {
  assert.match(render("Use the <script> tag, or <div class=a>.").textContent, /Use the <script> tag, or <div class=a>\./);
});

test("addresses and emphasis in HTML that isn't rendered are text", { skip }, () => {
  const text = 'a <img src="https://a.example/x"> b\n\n<script src="https://a.example/*y*">*z*</script>';
  const view = render(text);
  assert.equal(view.querySelector("a, em"), null);
  assert.equal(view.textContent, text.replace("\n\n", ""));
});

test("a line of a plain tag is Markdown", { skip }, () => {
  assert.equal(render("<kbd>\n\n<b>\n*x*\n</b>").innerHTML, '<p dir="auto"><kbd></kbd></p><p dir="auto"><b><br><em>x</em><br></b></p>');
});

test("plain tags without attributes do what they say", { skip }, () => {
  assert.equal(render("H<sub>2</sub>O<br>x").querySelector("p").innerHTML, "H<sub>2</sub>O<br>x");
});

test("a tag that ends elsewhere than it began doesn't take emphasis with it", { skip }, () => {
  const { innerHTML } = render("*a <b>b* c</b> d<br/>e <u>f").querySelector("p");
  assert.equal(innerHTML, "<em>a <b>b</b></em> c&lt;/b&gt; d<br>e <u>f</u>");
});

test("an image in a link is its text, and a link within a link is none", { skip }, () => {
  const links = render("[![A chart](https://a.example/c.png) https://b.example](https://c.example/)").querySelectorAll("a");
  assert.deepEqual([...links].map(({ href, textContent }) => [href, textContent]), [
    ["https://c.example/", "Image: A chart https://b.example"],
  ]);
});

test("a remote image is a link that says so", { skip }, () => {
  const link = render("![A chart](https://a.example/c.png)").querySelector("a");
  assert.equal(link.textContent, "Image: A chart");
  assert.equal(link.href, "https://a.example/c.png");
});

test("only the block that changes is rendered again", { skip }, () => {
  const view = newView();
  view.update("one\n\ntwo\n\nthr");
  const [first, second] = view.element.children;
  view.update("one\n\ntwo\n\nthree");
  assert.equal(view.element.children[0], first);
  assert.equal(view.element.children[1], second);
  assert.equal(view.element.children[2].textContent.trim(), "three");
});

test("code that grows keeps its element, and a reader's selection in it", { skip }, () => {
  const view = newView();
  view.update("```js\nlet a");
  const node = view.element.querySelector("code").firstChild;
  view.update("```js\nlet a = 1;\n```");
  assert.equal(view.element.querySelector("code").firstChild, node);
  assert.equal(node.data, "let a = 1;");
});

test("a text that arrives in pieces looks like one that came whole", { skip }, () => {
  const text = "# T\n\nA *b* `c`\n\n- x\n  - y\n\n| a |\n|---|\n| 1 |\n\n```py\nz\n```\n\n> q\n\nend";
  assert.equal(render(text, text.length).innerHTML, render(text).innerHTML);
});
