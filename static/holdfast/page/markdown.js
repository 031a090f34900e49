// Incremental Markdown rendering: only blocks whose source has changed are rendered again.
import { Marked } from "../vendor/marked.mjs";
import { closeInline } from "./close-inline.js";
import { CodeBlock } from "./code-block.js";
import { warnOfError } from "./draw-errors.js";
import { BlockSplitter } from "./markdown-blocks.js";
import { sanitize } from "./sanitize.js";

// Tags rendered when they have no attributes; any other HTML is shown as text.
const PLAIN_TAG = /^<\/?(b|br|del|em|i|kbd|s|strong|sub|sup|u)\s*\/?>$/i;

const marked = new Marked({
  gfm: true,
  renderer: {
    html: ({ text }) => (PLAIN_TAG.test(text.trim()) ? text : escapeHtml(text)),
    // Loading an image of another site would reveal the reader to that site.
    image: ({ href, text }) => `<a href="${escapeHtml(href)}">Image: ${escapeHtml(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

/** @typedef {import("./markdown-blocks.js").Block} Block */

/**
 * @typedef {object} Shown
 * @property {string} key of its block
 * @property {HTMLElement} element
 * @property {CodeBlock} [code]
 * @property {Error} [error] why it is plain text
 */

/** View of one Markdown text. */
export class MarkdownView {
  #blocks = new BlockSplitter();
  /** @type {Shown[]} */
  #shown = [];

  constructor() {
    this.element = document.createElement("div");
    this.element.className = "prose";
  }

  /** @param {string} text the whole Markdown so far @param {boolean} [growing] whether more is to come */
  update(text, growing = false) {
    const blocks = this.#blocks.split(growing ? closeInline(text) : text);
    blocks.forEach((block, index) => this.#show(block, index));
    this.#shown.splice(blocks.length).forEach((shown) => shown.element.remove());
  }

  #show(block, index) {
    const shown = this.#shown[index];
    if (shown?.key === block.key) return;
    if (shown?.code && block.type === "code") {
      shown.key = block.key;
      shown.code.update(block.token.text, block.token.lang);
      return;
    }
    const next = render(block);
    if (next.error && !shown?.error) warnOfError("A Markdown block", next.error);
    if (shown) shown.element.replaceWith(next.element);
    else this.element.append(next.element);
    this.#shown[index] = next;
  }
}

/** @param {Block} block @returns {Shown} */
function render({ key, type, token }) {
  if (type === "plain") return { key, element: renderPlain(token), error: token.error };
  try {
    return { key, ...(type === "code" ? renderCode(token) : { element: renderHtml(token) }) };
  } catch (error) {
    return { key, element: renderPlain(token), error };
  }
}

function renderCode({ text, lang }) {
  const code = new CodeBlock();
  code.update(text, lang);
  return { element: code.element, code };
}

// A block that cannot be parsed or drawn as Markdown is shown as plain text.
function renderPlain({ raw }) {
  const element = document.createElement("div");
  element.className = "block plain-text";
  element.textContent = raw.trimEnd();
  return element;
}

function renderHtml(token) {
  const element = document.createElement("div");
  element.className = `block block-${token.type}`;
  element.append(sanitize(marked.parser([token])));
  if (token.type === "table") scrollable(element, "Table");
  return element;
}

// Content wider than the page scrolls, by keyboard too.
function scrollable(element, name) {
  element.tabIndex = 0;
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", name);
}

function escapeHtml(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
