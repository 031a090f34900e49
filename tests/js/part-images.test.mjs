// File parts: which of them a browser loads by itself.
import assert from "node:assert/strict";
import { before, test } from "node:test";

const JSDOM = await import("jsdom").then((module) => module.JSDOM).catch(() => null);
const skip = JSDOM === null && "jsdom isn't installed";
let createPartView;

before(async () => {
  if (skip) return;
  const { window } = new JSDOM("<body></body>", { url: "https://holdfast.example/s/a/" });
  const { document, location, CustomEvent } = window;
  Object.assign(globalThis, { window, document, location, CustomEvent });
  ({ createPartView } = await import("../../static/holdfast/page/parts.js"));
});

function draw(part) {
  const view = createPartView({ type: "file", ...part }, "assistant");
  view.update({ type: "file", ...part });
  return view.element;
}

for (const url of [
  "https://holdfast.example/api/sessions/x/stream/", "https://holdfast.example/", "/logout/", "logout/", "?lab=1", "#a", "",
  "//holdfast.example/admin/", "\\\\holdfast.example\\admin", "https://elsewhere.example/a.png", "blob:https://holdfast.example/1",
  "data:text/html,<script>", "javascript:alert(1)", " data:image/png;base64,AAAA", "holdfast.example/a.png",
]) {
  test(`an image at "${url}" is not loaded`, { skip }, () => {
    const element = draw({ url, mediaType: "image/png" });
    assert.equal(element.querySelector("img, [src], [srcset], [style]"), null);
    for (const link of element.querySelectorAll("a[href]")) assert.match(link.getAttribute("href"), /^(https:|data:)/);
  });
}

test("an image that is in the part is shown", { skip }, () => {
  const url = "data:image/png;base64,AAAA";
  assert.equal(draw({ url, mediaType: "image/png" }).querySelector("img").getAttribute("src"), url);
  assert.equal(draw({ url, mediaType: "text/plain" }).querySelector("img"), null);
});
