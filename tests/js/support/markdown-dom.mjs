// A DOM for tests of Markdown: `skip` says why they can't run, `view()` makes a `MarkdownView`.
import { before } from "node:test";

const JSDOM = await import("jsdom").then((module) => module.JSDOM).catch(() => null);
export const skip = JSDOM === null && "jsdom isn't installed";
let MarkdownView;

before(async () => {
  if (skip) return;
  const { window } = new JSDOM("<body></body>", { url: "https://holdfast.example/s/a/" });
  Object.assign(globalThis, { window, document: window.document, CustomEvent: window.CustomEvent });
  ({ MarkdownView } = await import("../../../static/holdfast/page/markdown.js"));
});

export const view = () => new MarkdownView();
