// Drawing errors: the failing piece is shown as text or named, the rest is drawn, and no text is logged.
import assert from "node:assert/strict";
import { afterEach, before, beforeEach, test } from "node:test";

const JSDOM = await import("jsdom").then((module) => module.JSDOM).catch(() => null);
const skip = JSDOM === null && "jsdom isn't installed";
const SECRET = "what a person wrote";
// No text can be made of it.
const HOSTILE = { toString: SECRET, valueOf: SECRET };
let MessageView, MarkdownView, SignalStatus;
let warnings;

before(async () => {
  if (skip) return;
  const { window } = new JSDOM("<body></body>", { url: "https://holdfast.example/s/a/" });
  const { document, location, CustomEvent } = window;
  Object.assign(globalThis, { window, document, location, CustomEvent });
  ({ MessageView } = await import("../../static/holdfast/page/message-view.js"));
  ({ MarkdownView } = await import("../../static/holdfast/page/markdown.js"));
  ({ SignalStatus } = await import("../../static/holdfast/page/signal-status.js"));
});

const { warn } = console;
beforeEach(() => {
  warnings = [];
  console.warn = (...words) => warnings.push(words.join(" "));
});
afterEach(() => {
  console.warn = warn;
});

function surroundings() {
  const alternative = { number: 1, count: 1 };
  const signalStatus = new SignalStatus([], "me");
  return { signalStatus, online: true, retryable: null, refusals: new Map(), revealer: { isEven: false }, alternative };
}

function answer(parts, fields = {}) {
  return { id: "m", role: "assistant", status: "complete", reason: null, created_at: 1, parts, ...fields };
}

const text = (written, state = "done") => ({ type: "text", text: written, state });

function show(message) {
  const view = new MessageView(message);
  document.body.replaceChildren(view.element);
  view.update(message, surroundings());
  return view;
}

function openFolds(view) {
  for (const fold of view.element.querySelectorAll("details")) fold.open = true;
}

const partsOf = ({ element }) => [...element.querySelector(".message-body").children];
const problemOf = ({ element }) => element.querySelector("[data-testid=message-problem]");

function checkWarnedOnce() {
  assert.equal(warnings.length, 1, warnings.join("\n"));
  assert.match(warnings[0], /can't be drawn: \w*Error/);
  assert.match(warnings[0], /\.m?js:\d+:\d+/, "where it failed");
  assert.doesNotMatch(warnings[0], new RegExp(SECRET));
}

const APPROVAL = { id: "a", descriptor: { input_hash: "h", expires_at: null, editable: true } };
const CALL = { type: "tool-send", toolCallId: "c", state: "approval-requested", input: {} };
const DECIDED = { ...CALL, callProviderMetadata: { holdfast: { decided_by: "me", decided_at: 1 } } };
const BROKEN = {
  "a text that is none": { type: "text", text: HOSTILE },
  "a text without text": { type: "text" },
  "a tool without a state": { type: "tool-send", toolCallId: "c" },
  "a tool with a state of another type": { ...CALL, state: 5 },
  "a tool with a state that objects inherit": { ...CALL, state: "constructor" },
  "a tool with a hostile title": { ...CALL, title: HOSTILE },
  "a tool with a hostile name": { ...CALL, type: "dynamic-tool", toolName: HOSTILE },
  "a question with a hostile reason": { ...CALL, approval: { ...APPROVAL, requestReason: HOSTILE } },
  "a question with input that isn't JSON": { ...CALL, input: 1n, approval: APPROVAL },
  "a decision with a hostile reason": { ...DECIDED, approval: { ...APPROVAL, approved: true, reason: HOSTILE } },
  "a file without a URL": { type: "file", mediaType: "image/png" },
  "a file with a hostile URL": { type: "file", mediaType: "text/plain", url: HOSTILE },
  "a file with a hostile name": { type: "file", mediaType: "text/plain", url: "https://a.example/", filename: HOSTILE },
  "a file with a hostile media type": { type: "file", url: "data:,", mediaType: HOSTILE },
  "a source with a hostile URL": { type: "source-url", url: HOSTILE },
  "a source with a hostile title": { type: "source-url", url: "https://a.example/", title: HOSTILE },
  "a document with a hostile title": { type: "source-document", title: HOSTILE, mediaType: "text/plain" },
  "a steering message without parts": { type: "steering-message", id: "s" },
  "a steering message with a part that is none": { type: "steering-message", id: "s", parts: [null] },
  "a part without a type": { data: 1 },
  "a part with a hostile type": { type: HOSTILE },
  "a part that is null": null,
  "a part that is a text": SECRET,
};

for (const [what, part] of Object.entries(BROKEN)) {
  test(`${what} is named, and what is beside it is drawn`, { skip }, () => {
    const message = answer([text("*before*"), part, text("*after*")]);
    const view = show(message);
    const [first, broken, last] = partsOf(view);
    assert.equal(first.querySelector("em").textContent, "before");
    assert.equal(last.querySelector("em").textContent, "after");
    const type = typeof part?.type === "string" ? part.type : "unknown";
    assert.equal(broken.textContent, `This part can't be shown: ${type}`);
    for (const more of ["one", "two"]) {
      message.parts[2] = text(more);
      view.update(message, surroundings());
    }
    assert.equal(partsOf(view).length, 3);
    assert.equal(partsOf(view)[1], broken);
    assert.equal(partsOf(view)[2].textContent.trim(), "two");
    assert.equal(problemOf(view).hidden, true);
    checkWarnedOnce();
  });
}

// Odd, and drawn all the same: each kind of part with values that its view must bear.
const ODD = {
  "a type that objects inherit": { type: "toString" },
  "the type of a prototype": { type: "__proto__" },
  "an unknown type": { type: "unheard-of", data: null },
  "an empty type": { type: "" },
  "data without data": { type: "data-" },
  "a tool that is null throughout": { ...CALL, state: "output-available", input: null, output: null, title: null },
  "a tool that asks for nothing": CALL,
  "a question with an odd descriptor": { ...CALL, approval: { id: HOSTILE, descriptor: "x" } },
  "a question that expires never": { ...CALL, approval: { ...APPROVAL, descriptor: { expires_at: SECRET } } },
  "a file with an address that is none": { type: "file", url: "http://[", mediaType: "image/png" },
  "a source with an address that is none": { type: "source-url", url: "http://[" },
  "a source with nothing": { type: "source-url" },
  "a step": { type: "step-start" },
};

for (const [what, part] of Object.entries(ODD)) {
  test(`${what} is drawn`, { skip }, () => {
    const view = show(answer([part, text("after")]));
    openFolds(view);
    view.update(answer([part, text("after")]), surroundings());
    assert.equal(partsOf(view).at(-1).textContent.trim(), "after");
    assert.equal(view.element.querySelector("[data-testid=part-fallback]"), null);
    assert.equal(problemOf(view).hidden, true);
    assert.deepEqual(warnings, []);
  });
}

const FOLDED = {
  "reasoning that is no text": { type: "reasoning", text: HOSTILE },
  "tool output that isn't JSON": { ...CALL, state: "output-available", output: { [SECRET]: 1n } },
  "data that isn't JSON": { type: "data-x", data: 1n },
};

for (const [what, part] of Object.entries(FOLDED)) {
  test(`${what} is named when it is unfolded`, { skip }, () => {
    const message = answer([part, text("after")]);
    const view = show(message);
    assert.deepEqual(warnings, []);
    openFolds(view);
    view.update(message, surroundings());
    view.update(message, surroundings());
    const fallbacks = [...view.element.querySelectorAll("details [data-testid=part-fallback]")];
    assert.deepEqual(fallbacks.map(({ textContent }) => textContent), [`This part can't be shown: ${part.type}`]);
    checkWarnedOnce();
  });
}

test("a folded part is drawn once it can be", { skip }, () => {
  const view = show(answer([{ type: "data-x", data: 1n }]));
  openFolds(view);
  view.update(answer([{ type: "data-x", data: 1n }]), surroundings());
  view.update(answer([{ type: "data-x", data: 12 }]), surroundings());
  assert.equal(view.element.querySelector("[data-testid=part-fallback]"), null);
  assert.match(view.element.querySelector("pre").textContent, /12/);
});

test("a part that fails is shown as its text", { skip }, () => {
  const view = show(answer([{ type: "file", text: "what it says" }]));
  assert.equal(partsOf(view)[0].textContent, "what it says");
  checkWarnedOnce();
});

test("a part is drawn once it can be, in its place", { skip }, () => {
  const view = show(answer([text("a"), { ...CALL, state: 5 }, text("b")]));
  view.update(answer([text("a"), { ...CALL, state: "input-available" }, text("b")]), surroundings());
  const [, tool] = partsOf(view);
  assert.equal(tool.querySelector(".fold-title").textContent, "Send");
  assert.equal(partsOf(view).length, 3);
  view.update(answer([]), surroundings());
  assert.equal(partsOf(view).length, 0);
});

const BROKEN_MESSAGES = {
  "a time that is none": { created_at: SECRET },
  "parts that are none": { parts: null },
  "a reason of another type": { status: "failed", reason: HOSTILE },
};

for (const [what, fields] of Object.entries(BROKEN_MESSAGES)) {
  test(`a message with ${what} says that something is missing, until it can be drawn`, { skip }, () => {
    const view = show(answer([text("*said*")], fields));
    view.update(answer([text("*said*")], fields), surroundings());
    assert.equal(problemOf(view).textContent, "Some of this message can't be shown.");
    assert.equal(problemOf(view).hidden, false);
    checkWarnedOnce();
    view.update(answer([text("*said*")]), surroundings());
    assert.equal(problemOf(view).hidden, true);
    assert.equal(view.element.querySelector("em").textContent, "said");
    assert.ok(view.element.querySelector("time").dateTime);
  });
}

test("a message whose time can't be shown shows its parts", { skip }, () => {
  const view = show(answer([text("*said*")], { created_at: SECRET }));
  assert.equal(view.element.querySelector("em").textContent, "said");
});

test("a deep block is plain text while it grows", { skip }, () => {
  const view = new MarkdownView();
  const deep = `${"> ".repeat(2_000)}${SECRET}`;
  const whole = `*before*\n\n${deep}\n\n*after*`;
  for (let end = 3_000; end < whole.length; end += 50) view.update(whole.slice(0, end), true);
  view.update(whole);
  const [first, plain, last] = view.element.children;
  assert.equal(first.querySelector("em").textContent, "before");
  assert.equal(plain.textContent, deep);
  assert.equal(last.querySelector("em").textContent, "after");
  assert.deepEqual(warnings, []);
});

test("a block that is read and can't be drawn is plain text", { skip }, (context) => {
  const { createElement } = document;
  context.mock.method(document, "createElement", (tag) => {
    if (tag === "td") throw new TypeError(`${SECRET} isn't a table`);
    return createElement.call(document, tag);
  });
  const view = new MarkdownView();
  const table = "| a |\n|---|\n| *b* |";
  for (const end of ["", "\n\n*aft", "\n\n*after*"]) view.update(`${table}${end}`);
  const [plain, after] = view.element.children;
  assert.equal(plain.textContent, table);
  assert.equal(after.querySelector("em").textContent, "after");
  checkWarnedOnce();
});

test("a block that failed is drawn once it can be", { skip }, (context) => {
  const { createElement } = document;
  const mock = context.mock.method(document, "createElement", (tag) => {
    if (tag === "em") throw new TypeError(SECRET);
    return createElement.call(document, tag);
  });
  const view = new MarkdownView();
  view.update("*a* b");
  mock.mock.restore();
  view.update("*a* bc");
  assert.equal(view.element.innerHTML, '<p dir="auto"><em>a</em> bc</p>');
});

test("code that fails to be drawn as code is drawn later as code", { skip }, () => {
  const view = new MarkdownView();
  view.update(`${"> ".repeat(200)}\n\nx`);
  view.update("```js\nlet a;\n```");
  assert.equal(view.element.querySelector("code").textContent, "let a;");
});
