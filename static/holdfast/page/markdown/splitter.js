// Splitter of growing Markdown into top-level blocks, which does not parse the settled part again.
import { warnOfError } from "../draw-errors.js";
import { holdLine } from "./half-open.js";
import { TOO_DEEP } from "./limits.js";
import { blockNode, plainNode } from "./nodes.js";
import { parseBlocks } from "./parser.js";

/**
 * @typedef {object} Block
 * @property {import("./nodes.js").MarkdownNode} node
 * @property {string} source
 * @property {number} start  of the source in the text given to the parser
 */

// The next characters can still change the last block and, by turning its first line into a continuation, the
// block before it ("text\n#" is a heading until it becomes "text\n#tag"). Anything before those two is settled.
const UNSETTLED_BLOCKS = 2;

/** Splitter of one text that mostly grows at its end; after any other change it starts over. */
export class BlockSplitter {
  #settledText = "";
  /** @type {Block[]} */
  #settled = [];
  #settledReferences = Object.create(null);
  /** Link definitions of the whole text. @type {import("./parser.js").References} */
  references = Object.create(null);

  /**
   * @param {string} text the whole Markdown so far
   * @param {boolean} [growing] whether more is to come
   * @returns {Block[]} every visible block, in order; a settled one is the same object every time
   */
  split(text, growing = false) {
    const source = growing ? holdLine(normalize(text)) : normalize(text);
    if (!source.startsWith(this.#settledText)) this.#forget();
    const tail = source.slice(this.#settledText.length);
    this.references = Object.create(this.#settledReferences);
    const tokens = parse(tail, this.references);
    const blocks = toBlocks(tokens, tail);
    if (growing && !tail.endsWith("\n") && blocks.length) markGrowing(blocks.at(-1).node);
    const all = this.#settled.concat(blocks);
    this.#settle(blocks, tail, tokens);
    return all;
  }

  /** @param {number} length of a text @returns {number} characters that are parsed again when it has grown */
  unsettled(length) {
    return length - this.#settledText.length;
  }

  #settle(blocks, tail, tokens) {
    const count = blocks.length - UNSETTLED_BLOCKS;
    if (count <= 0) return;
    const end = blocks[count].start;
    this.#settledText += tail.slice(0, end);
    this.#settled = this.#settled.concat(blocks.slice(0, count));
    for (const { meta } of definitionsBefore(tokens, blocks[count].line)) {
      this.#settledReferences[meta.label] ??= this.references[meta.label];
    }
  }

  #forget() {
    this.#settledText = "";
    this.#settled = [];
    this.#settledReferences = Object.create(null);
  }
}

function normalize(text) {
  const lines = text.includes("\r") ? text.replace(/\r\n?/g, "\n") : text;
  return lines.includes("\0") ? lines.replaceAll("\0", "\ufffd") : lines;
}

function parse(source, references) {
  try {
    return parseBlocks(source, references);
  } catch (error) {
    warnOfError("A Markdown text", error);
    return [{ type: TOO_DEEP, map: [0, Infinity], level: 0, nesting: 0 }];
  }
}

function definitionsBefore(tokens, line) {
  return tokens.filter(({ type, map }) => type === "reference_definition" && map[0] < line);
}

/** @returns {(Block & {line: number})[]} */
function toBlocks(tokens, source) {
  const starts = [];
  tokens.forEach(({ level, nesting, type }, index) => {
    if (level === 0 && nesting >= 0 && type !== "reference_definition") starts.push(index);
  });
  const offsets = new LineOffsets(source);
  return starts.map((start, index) => {
    const [line, endLine] = tokens[start].map;
    const offset = offsets.of(line);
    const own = tokens.slice(start, starts[index + 1]).filter(({ type }) => type !== "reference_definition");
    const written = source.slice(offset, offsets.of(endLine));
    const isReadable = own.every(({ type }) => type !== TOO_DEEP);
    const node = isReadable ? blockNode(own) : plainNode(written.trimEnd());
    return { node, source: written, start: offset, line };
  });
}

/** Offsets of lines, asked for in rising order. */
class LineOffsets {
  #source;
  #line = 0;
  #offset = 0;

  constructor(source) {
    this.#source = source;
  }

  of(line) {
    while (this.#line < line && this.#offset < this.#source.length) {
      const end = this.#source.indexOf("\n", this.#offset);
      this.#offset = end === -1 ? this.#source.length : end + 1;
      this.#line += 1;
    }
    return this.#offset;
  }
}

function markGrowing(node) {
  let last = node;
  while (last.content === undefined && last.children.length) last = last.children.at(-1);
  if (last.content !== undefined) last.growing = true;
}
