// Nodes of drawn Markdown, made of markdown-it's tokens: what the page may show, and nothing else.
import { isSafeLink } from "../safe-link.js";
import { splitLinks } from "./bare-links.js";
import { hasOtherTags } from "./plain-tags.js";

/**
 * An element, a text, or a code block.
 * @typedef {object} MarkdownNode
 * @property {string} tag  of an element; "#text"; "#code"
 * @property {Record<string, string>} attributes
 * @property {MarkdownNode[]} children  of an element without `content`
 * @property {string} [content]  Markdown of its children
 * @property {boolean} [growing]  whether its content is the end of a growing text
 * @property {string} text  of a text or code block
 * @property {string} [language]  of a code block
 */

// Levels of emphasis and links; a paragraph with more is shown as text.
const MAX_INLINE = 24;
// Characters of a paragraph, which is parsed as a whole whenever it grows; a longer one is shown as text.
const MAX_CONTENT = 65_536;
const AUTO = { dir: "auto" };
// Not cells and paragraphs: they would hide their text from the direction of their table, list item or quote.
const DIRECTED = new Set(["h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote"]);
const TASK = /^\[([ xX])\](?=\s)/;

/** @returns {MarkdownNode} */
function element(tag, attributes = {}, fields = {}) {
  return { tag, attributes, children: [], text: "", ...fields };
}

/** @param {string} text @returns {MarkdownNode} */
function textNode(text) {
  return { tag: "#text", attributes: {}, children: [], text };
}

/** @param {string} text @returns {MarkdownNode} text as it was written, for what can't be drawn as Markdown */
export function plainNode(text) {
  return element("div", { ...AUTO, class: "plain-text" }, { children: [textNode(text)] });
}

/**
 * @param {object[]} tokens of one block, the block's own first
 * @returns {MarkdownNode} the block
 */
export function blockNode(tokens) {
  const root = element("root");
  const stack = [root];
  for (const token of tokens) {
    const parent = stack.at(-1);
    if (token.nesting === -1) close(stack.pop());
    else if (token.type === "inline") fill(parent, task(token, stack));
    else if (!token.hidden || token.type === "paragraph_open") {
      const node = openNode(token, stack);
      parent.children.push(node.tag === "table" ? scrollable(node) : node);
      if (token.nesting === 1) stack.push(node);
    }
  }
  return root.children[0];
}

function fill(node, content) {
  if (content.length <= MAX_CONTENT) node.content = content;
  else node.children = [asWritten(content)];
}

/** @param {string} text @returns {MarkdownNode} within a paragraph, heading or cell */
function asWritten(text) {
  return withText("span", { class: "plain-text" }, text);
}

function openNode(token, stack) {
  switch (token.type) {
    case "fence": return code(token.content, token.info.trim());
    case "code_block": return code(token.content, "");
    case "latex_block": return element("pre", { class: "latex", dir: "ltr" }, { children: [textNode(token.content)] });
    case "html_block": return html(token.content.trimEnd());
    case "paragraph_open": return element("p", paragraphAttributes(token, stack));
    default: return element(token.tag, { ...(DIRECTED.has(token.tag) ? AUTO : {}), ...attributesOf(token) });
  }
}

function html(content) {
  return hasOtherTags(content) ? plainNode(content) : element("p", AUTO, { content });
}

// A table wider than the page scrolls, by keyboard too.
function scrollable(table) {
  const attributes = { ...AUTO, class: "table-scroll", role: "group", tabindex: "0", "aria-label": "Table" };
  return element("div", attributes, { children: [table] });
}

function code(content, language) {
  return { tag: "#code", attributes: {}, children: [], text: content.replace(/\n$/, ""), language };
}

// In a list that is tight, a paragraph is only its text. It stays an element: a list that becomes loose at its end is
// not drawn again.
function paragraphAttributes({ hidden }, { length }) {
  if (hidden) return { class: "tight" };
  return length === 1 ? AUTO : {};
}

// "left" is the side where lines start, also of text from right to left.
const ALIGN = { "text-align:left": "start", "text-align:center": "center", "text-align:right": "end" };

function attributesOf(token) {
  const start = token.attrGet("start");
  const align = ALIGN[token.attrGet("style")];
  return { ...(start === null ? {} : { start: String(start) }), ...(align ? { class: `align-${align}` } : {}) };
}

function task({ content }, stack) {
  if (stack.at(-2)?.tag !== "li" || stack.at(-2).children.length !== 1) return content;
  return content.replace(TASK, (_, mark) => (mark === " " ? "☐" : "☑"));
}

// Cells that a row lacks are not drawn.
function close(node) {
  if (node.tag !== "tr") return;
  while (node.children.length > 1 && node.children.at(-1).content === "") node.children.pop();
}

/**
 * @param {object[]} tokens inline
 * @param {string} content that they were made of
 * @returns {MarkdownNode[]}
 */
export function inlineNodes(tokens, content) {
  const builder = new InlineBuilder();
  for (const token of tokens) builder.add(token);
  return builder.isTooDeep ? [asWritten(content)] : builder.children;
}

class InlineBuilder {
  children = [];
  isTooDeep = false;
  #stack = [{ tag: "", children: this.children, plain: false }];
  #links = 0;

  add(token) {
    if (token.nesting === 1) this.#open(token);
    else if (token.nesting === -1) this.#close(token);
    else this.#leaf(token);
  }

  get #top() {
    return this.#stack.at(-1);
  }

  #leaf(token) {
    switch (token.type) {
      case "softbreak":
      case "hardbreak": return this.#push(element("br"));
      case "code_inline": return this.#push(withText("code", {}, token.content));
      case "latex": return this.#push(withText("code", { class: "latex" }, token.content));
      case "image": return this.#image(token);
      case "plain_tag": return this.#plainTag(token);
      case "html_inline": return this.#appendText(token.content);
      default: return this.#text(token.content);
    }
  }

  #push(node) {
    this.#top.children.push(node);
  }

  #text(text) {
    if (this.#links > 0) return this.#appendText(text);
    for (const piece of splitLinks(text)) {
      if (typeof piece === "string") this.#appendText(piece);
      else this.#push(withText("a", linkAttributes(piece.href), piece.text));
    }
  }

  #appendText(text) {
    const last = this.#top.children.at(-1);
    if (last?.tag === "#text") last.text += text;
    else if (text) this.#push(textNode(text));
  }

  #open(token) {
    const isLink = token.tag === "a";
    if (isLink) this.#links += 1;
    const tag = token.tag === "s" ? "del" : token.tag;
    this.#enter(tag, isLink ? linkAttributes(token.attrGet("href"), token.attrGet("title")) : {}, false);
  }

  #enter(tag, attributes, plain) {
    if (this.#stack.length > MAX_INLINE) this.isTooDeep = true;
    const node = element(tag, attributes);
    this.#push(node);
    this.#stack.push({ tag, children: node.children, plain });
  }

  // Tags that were left open within end here.
  #close(token) {
    while (this.#top.plain) this.#stack.pop();
    this.#stack.pop();
    if (token.tag === "a") this.#links -= 1;
  }

  #plainTag({ tag, info, content }) {
    if (!info) this.#enter(tag, {}, true);
    else if (this.#top.plain && this.#top.tag === tag) this.#stack.pop();
    else this.#appendText(content);
  }

  // Loading an image of another site would reveal the reader to that site.
  #image(token) {
    const address = token.attrGet("src");
    const label = `Image: ${plainText(token.children) || address}`;
    if (this.#links > 0) this.#appendText(label);
    else this.#push(withText("a", linkAttributes(address), label));
  }
}

function withText(tag, attributes, text) {
  return element(tag, attributes, { children: [textNode(text)] });
}

function plainText(tokens) {
  return tokens.map(({ content, children }) => (children?.length ? plainText(children) : content)).join("");
}

function linkAttributes(href, title) {
  if (!isSafeLink(href)) return {};
  const attributes = { href, target: "_blank", rel: "noopener noreferrer nofollow" };
  return title ? { ...attributes, title } : attributes;
}
