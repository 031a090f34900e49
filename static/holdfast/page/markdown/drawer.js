// Drawing of Markdown nodes into a document: only what has changed is touched.
import { CodeBlock } from "../code-block.js";
import { holdMarkers } from "./half-open.js";
import { inlineNodes } from "./nodes.js";
import { parseInline } from "./parser.js";

/** @typedef {import("./nodes.js").MarkdownNode} MarkdownNode */
/** @typedef {import("./parser.js").References} References */
/** @typedef {Map<string, string>} Asked link definitions that were asked for by label, and what they were */

/**
 * @typedef {object} Context
 * @property {References} references
 * @property {Asked} asked  receives the definitions that the drawn content asked for
 */

/**
 * A node drawn.
 * @typedef {object} Drawn
 * @property {MarkdownNode} node
 * @property {ChildNode} element
 * @property {Drawn[]} children
 * @property {CodeBlock} [code]
 * @property {Asked} asked  by its own content
 */

/**
 * @param {ParentNode} parent
 * @param {Drawn[]} drawn its children so far; changed
 * @param {MarkdownNode[]} nodes its children to be
 * @param {Context} context
 */
function drawAll(parent, drawn, nodes, context) {
  nodes.forEach((node, index) => {
    const shown = drawn[index];
    const next = draw(shown, node, context);
    drawn[index] = next;
    if (!shown) parent.append(next.element);
    else if (next !== shown) shown.element.replaceWith(next.element);
  });
  for (const { element } of drawn.splice(nodes.length)) element.remove();
}

/**
 * @param {Drawn|undefined} shown
 * @param {MarkdownNode} node
 * @param {Context} context
 * @returns {Drawn} the one given, if it can become this node
 */
export function draw(shown, node, context) {
  const fits = shown && shown.node.tag === node.tag;
  const drawn = fits ? shown : create(node);
  if (node.tag === "#text") showText(drawn.element, node.text);
  else if (node.tag === "#code") drawn.code.update(node.text, node.language);
  else drawElement(drawn, node, context, !fits);
  drawn.node = node;
  return drawn;
}

function create(node) {
  const drawn = { node, children: [], asked: new Map() };
  if (node.tag === "#text") return { ...drawn, element: document.createTextNode("") };
  if (node.tag !== "#code") return { ...drawn, element: document.createElement(node.tag) };
  const code = new CodeBlock();
  return { ...drawn, element: code.element, code };
}

// Growing text keeps its node, and a reader's selection in it.
function showText(element, text) {
  if (element.data === text) return;
  if (text.startsWith(element.data)) element.appendData(text.slice(element.data.length));
  else element.data = text;
}

function drawElement(drawn, node, context, isNew) {
  showAttributes(drawn.element, isNew ? {} : drawn.node.attributes, node.attributes);
  if (node.content === undefined) drawAll(drawn.element, drawn.children, node.children, context);
  else drawContent(drawn, node, context, isNew);
}

function drawContent(drawn, node, context, isNew) {
  if (isNew || !isSameContent(drawn, node, context.references)) {
    drawn.asked = new Map();
    const nodes = contentNodes(node, recorded(context.references, drawn.asked));
    drawAll(drawn.element, drawn.children, nodes, context);
  }
  for (const [label, word] of drawn.asked) context.asked.set(label, word);
}

function showAttributes(element, before, attributes) {
  for (const name of Object.keys(before)) if (!(name in attributes)) element.removeAttribute(name);
  for (const [name, value] of Object.entries(attributes)) {
    if (before[name] !== value) element.setAttribute(name, value);
  }
}

function isSameContent({ node, asked }, { content, growing }, references) {
  return node.content === content && node.growing === growing && areSame(asked, references);
}

function contentNodes({ content, growing = false }, references) {
  const shown = growing ? holdMarkers(content) : content;
  return inlineNodes(parseInline(shown, references, growing), shown);
}

/** References that note which labels were asked for. */
function recorded(references, asked) {
  return new Proxy(references, {
    get(target, label) {
      asked.set(label, wordOf(target[label]));
      return target[label];
    },
  });
}

/** @param {Asked} asked @param {References} references @returns {boolean} */
export function areSame(asked, references) {
  for (const [label, word] of asked) if (word !== wordOf(references[label])) return false;
  return true;
}

function wordOf(reference) {
  return reference ? `${reference.href}\n${reference.title}` : "";
}
