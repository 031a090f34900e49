// Views of message parts, one class per kind, each with an `element` and `update(part, context)`.
import { ApprovalCard } from "./approval-card.js";
import { CodeBlock } from "./code-block.js";
import { warnOfError } from "./draw-errors.js";
import { exactJson, layOut } from "./exact-json.js";
import { icon } from "./icon.js";
import { RevealedMarkdown } from "./revealer.js";
import { isSafeLink } from "./safe-link.js";
import { showText } from "./show-text.js";
import { partProblem, steerNotice, toolState, toolTitle } from "./wording.js";

/**
 * @typedef {object} Context
 * @property {boolean} ended whether the message has ended
 * @property {Record<string, {text: string}>} tools raw input of calls whose input is still streaming, by call id
 * @property {import("./signal-status.js").SignalStatus} signalStatus
 * @property {boolean} online whether messages can be sent now
 * @property {Map<string, string>} refusals why a decision of this tab was refused, by approval
 * @property {import("./revealer.js").Revealer} revealer of growing text
 */

/**
 * @param {object} part of an AI SDK UIMessage
 * @param {string} role of its message
 * @returns {{element: HTMLElement, update: (part: object, context: Context) => void} | null} null for parts that are
 *   not shown
 */
export function createPartView(part, role) {
  const kind = kindOf(part.type);
  if (kind === "text" && role === "user") return new PlainTextView();
  return VIEWS[kind]();
}

/** @param {string} type @returns {string} key of its view */
export function kindOf(type) {
  if (type.startsWith("tool-") || type === "dynamic-tool") return "tool";
  return Object.hasOwn(VIEWS, type) ? type : "data";
}

const VIEWS = {
  text: () => new TextView(),
  reasoning: () => new ReasoningView(),
  tool: () => new ToolView(),
  file: () => new FileView(),
  "source-url": () => new SourceView(),
  "source-document": () => new SourceView(),
  data: () => new DataView(),
  "steering-message": () => new SteerView(),
  "step-start": () => null,
};

class TextView {
  #markdown = new RevealedMarkdown();
  element = this.#markdown.element;

  update({ text, state }, { ended, revealer }) {
    this.#markdown.update(text, state === "streaming" && !ended, revealer);
  }
}

// The user's text, shown as typed.
class PlainTextView {
  element = plainText();

  update({ text }) {
    this.element.textContent = text;
  }
}

/** A steer, at the point where the agent read it. */
class SteerView {
  element = create("div", "steer");
  #label = create("p", "steer-label");
  #text = plainText();

  constructor() {
    this.element.dataset.testid = "steer";
    this.element.append(this.#label, this.#text);
  }

  update({ id, parts }, { signalStatus }) {
    const signal = signalStatus.of(id);
    showText(this.#label, steerNotice(signal ? signalStatus.isMine(signal.actor) : null));
    showText(this.#text, parts.map(({ text }) => text ?? "").join("\n\n"));
  }
}

/** View of a part that cannot be drawn: its text, or its type. */
export class FallbackView {
  element = plainText();

  constructor() {
    this.element.dataset.testid = "part-fallback";
  }

  /** @param {any} part */
  update(part) {
    const { text, type } = part ?? {};
    const hasText = typeof text === "string" && text !== "";
    showText(this.element, hasText ? text : partProblem(typeof type === "string" ? type : "unknown"));
  }
}

/** A collapsible part. Its body is updated only while open. */
class FoldingView {
  #title = create("span", "fold-title");
  #state = create("span", "fold-state");
  #fallback = new FallbackView();
  #part = null;
  /** Pending update of the body. @type {(() => void)|null} */
  #stale = null;

  constructor(iconName, testid) {
    this.element = create("details", "fold");
    this.element.dataset.testid = testid;
    const summary = create("summary");
    summary.append(icon(iconName), this.#title, this.#state, icon("chevron"));
    this.body = create("div", "fold-body");
    this.element.append(summary, this.body);
    this.element.addEventListener("toggle", () => this.#refresh());
  }

  show(part, title, state, refresh) {
    if (this.#title.textContent !== title) this.#title.textContent = title;
    if (this.#state.textContent !== state) this.#state.textContent = state;
    this.element.dataset.state = state.replace("…", "");
    this.#part = part;
    this.#stale = refresh;
    this.#refresh();
  }

  #refresh() {
    if (!this.element.open || !this.#stale) return;
    try {
      this.#stale();
      this.#fallback.element.remove();
    } catch (error) {
      this.#fail(error);
    }
    this.#stale = null;
  }

  // A part may fail long after its update: when the user opens it.
  #fail(error) {
    if (!this.#fallback.element.parentNode) warnOfError("A part", error);
    this.#fallback.update(this.#part);
    this.body.append(this.#fallback.element);
  }
}

class ReasoningView extends FoldingView {
  #markdown = new RevealedMarkdown();

  constructor() {
    super("thought", "reasoning");
    this.body.append(this.#markdown.element);
  }

  update(part, { ended, revealer }) {
    const thinking = part.state === "streaming" && !ended;
    const refresh = () => this.#markdown.update(part.text, thinking, revealer);
    this.show(part, "Reasoning", thinking ? "thinking…" : "done", refresh);
  }
}

/** A tool call, collapsed, with its approval card; until the decision, only the card is shown. */
class ToolView {
  element = create("div", "tool");
  #fold = new ToolFold();
  /** @type {ApprovalCard|null} */
  #card = null;

  constructor() {
    this.element.append(this.#fold.element);
  }

  update(part, context) {
    if (part.approval?.descriptor) this.#card ??= this.#addCard();
    this.#card?.update(part, context);
    this.#fold.element.hidden = this.#card?.pending ?? false;
    this.#fold.update(part, context, this.#card?.decision ?? null);
  }

  #addCard() {
    const card = new ApprovalCard();
    this.element.append(card.element);
    return card;
  }
}

class ToolFold extends FoldingView {
  #input = new LabelledCode("Input");
  #output = new LabelledCode("Output");

  constructor() {
    super("tool", "tool");
    this.body.append(this.#input.element, this.#output.element);
  }

  update(part, { ended, tools }, decision) {
    const name = part.title ?? toolTitle(part.toolName ?? part.type.replace(/^tool-/, ""));
    this.show(part, name, toolState(part, ended, decision), () => {
      const exact = exactInput(part);
      const shown = part.input ?? part.rawInput ?? tools[part.toolCallId]?.text;
      this.#input.update(typeof exact === "string" ? layOut(exact) : shown);
      this.#output.update(part.errorText ?? part.output);
    });
  }
}

/** @param {any} part @returns {any} exact JSON text of the arguments that were decided about */
function exactInput({ approval, callProviderMetadata }) {
  const edited = approval?.approved === undefined ? undefined : callProviderMetadata?.holdfast?.input_text;
  return edited ?? approval?.descriptor?.input_text;
}

class DataView extends FoldingView {
  #code = new LabelledCode("");

  constructor() {
    super("data", "data");
    this.body.append(this.#code.element);
  }

  update(part) {
    const { type, data, ...rest } = part;
    this.show(part, toolTitle(type.replace(/^data-/, "")), "", () => this.#code.update(data ?? rest));
  }
}

class LabelledCode {
  #code = new CodeBlock();
  element = this.#code.element;
  #label;

  constructor(label) {
    this.#label = label;
  }

  update(value) {
    this.element.hidden = value === undefined;
    if (value === undefined) return;
    const text = typeof value === "string" ? value : exactJson(value);
    this.#code.update(text, this.#label || "JSON");
  }
}

class SourceView {
  element = create("span", "source");

  update({ url, title, filename }) {
    this.element.dataset.testid = "source";
    const label = title || filename || hostOf(url) || "Source";
    this.element.replaceChildren(icon("source"), isSafeLink(url ?? "") ? link(url, label) : label);
  }
}

class FileView {
  element = create("div", "file");

  update({ url, filename, mediaType }) {
    if (this.element.hasChildNodes() && this.element.dataset.url === url) return;
    this.element.dataset.testid = "file";
    this.element.dataset.url = url;
    const name = filename || mediaType || "File";
    if (isImage(url, mediaType)) this.element.replaceChildren(this.#image(url, name));
    else this.element.replaceChildren(icon("file"), fileLink(url, name));
  }

  #image(url, name) {
    const image = create("img");
    image.src = url;
    image.alt = name;
    image.addEventListener("error", () => this.element.replaceChildren(icon("file"), fileLink(url, name)));
    return image;
  }
}

// Only images that are in the part itself. Loading one of another site would reveal the reader to it, and an address of
// this site may be any page of it, requested with the reader's cookies: a stream, a poll, an admin page.
function isImage(url, mediaType) {
  return Boolean(mediaType?.startsWith("image/")) && /^data:image\//i.test(url);
}

function fileLink(url, name) {
  if (isSafeLink(url)) return link(url, name);
  if (!url.startsWith("data:")) return document.createTextNode(name);
  const download = create("a");
  download.href = url;
  download.download = name;
  download.textContent = name;
  return download;
}

function link(url, label) {
  const anchor = create("a");
  anchor.href = url;
  anchor.target = "_blank";
  anchor.rel = "noopener noreferrer nofollow";
  anchor.textContent = label;
  return anchor;
}

function hostOf(url) {
  return URL.canParse(url ?? "") ? new URL(url).hostname : "";
}

function plainText() {
  const text = create("p", "plain-text");
  text.dir = "auto";
  return text;
}

function create(tag, className = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  return element;
}
