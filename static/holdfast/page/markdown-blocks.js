// Splitter of growing Markdown into top-level blocks, which does not parse the settled part again.
import { Lexer } from "../vendor/marked.mjs";

/**
 * @typedef {object} Block
 * @property {string} type  marked's token type: "paragraph", "code", "list", …; "plain": marked can't read it
 * @property {string} key   equal keys render equally
 * @property {object} token the marked token, inline tokens included
 */

// The next characters can still change the last block and, by turning its first line into a continuation, the
// block before it ("text\n#" is a heading until it becomes "text\n#tag"). Anything before those two is settled.
const UNSETTLED_BLOCKS = 2;

// Nesting limit of quotes, lists and emphasis, the same as markdown-it's. marked recurses: a thousand levels overflow
// the
// stack.
const MAX_NESTING = 100;
// An unreadable block ends at the first blank line.
const UNREADABLE = /^[^]+?(?=\n[ \t]*\n|$)/;

/** Splitter of one text that mostly grows at its end; after any other change it starts over. */
export class BlockSplitter {
  #settledText = "";
  /** @type {Block[]} */
  #settled = [];

  /**
   * @param {string} text the whole Markdown so far
   * @returns {Block[]} every visible block, in order
   */
  split(text) {
    const source = text.replace(/\r\n?/g, "\n");
    if (!source.startsWith(this.#settledText)) this.#forget();
    let tokens = lex(source.slice(this.#settledText.length));
    // A link definition applies to earlier references, so such a text is parsed as a whole.
    if (hasLinks(tokens)) {
      this.#forget();
      tokens = lex(source);
      return toBlocks(tokens, JSON.stringify(tokens.links));
    }
    const settled = this.#settled;
    const blocks = settled.concat(toBlocks(tokens, ""));
    this.#settle(tokens);
    return blocks;
  }

  #settle(tokens) {
    const end = settledEnd(tokens);
    if (end === 0) return;
    const done = tokens.slice(0, end);
    this.#settledText += done.map((token) => token.raw).join("");
    this.#settled = this.#settled.concat(toBlocks(done, ""));
  }

  #forget() {
    this.#settledText = "";
    this.#settled = [];
  }
}

class BoundedLexer extends Lexer {
  #depth = 0;

  blockTokens(...source) {
    return this.#nested(() => super.blockTokens(...source));
  }

  inlineTokens(...source) {
    return this.#nested(() => super.inlineTokens(...source));
  }

  #nested(read) {
    if (this.#depth === MAX_NESTING) throw new RangeError(`More than ${MAX_NESTING} levels of Markdown`);
    this.#depth += 1;
    try {
      return read();
    } finally {
      this.#depth -= 1;
    }
  }
}

function newLexer() {
  return new BoundedLexer({ gfm: true });
}

/** Return the tokens of a source; an unreadable block is a token of type "plain" with its error. */
function lex(source) {
  try {
    return newLexer().lex(source);
  } catch {
    return lexEach(...cutBlocks(source));
  }
}

/** @param {string} source @returns {[string[], object]} the source of each block, and the link definitions */
function cutBlocks(source) {
  let blocks = [];
  let links = {};
  for (let rest = source; rest; ) {
    const { tokens } = readBlocks(rest);
    const read = tokens.map(({ raw }) => raw);
    links = { ...tokens.links, ...links };
    rest = rest.slice(read.join("").length);
    const [unreadable] = UNREADABLE.exec(rest) ?? [""];
    blocks = blocks.concat(read, unreadable);
    rest = rest.slice(unreadable.length);
  }
  return [blocks.filter(Boolean), links];
}

/** Return a lexer with the tokens of the blocks before the first unreadable one, without inline tokens. */
function readBlocks(source) {
  const lexer = newLexer();
  try {
    lexer.blockTokens(source, lexer.tokens);
  } catch {
    // The tokens end before the unreadable block.
  }
  return lexer;
}

function lexEach(blocks, links) {
  const tokens = blocks.flatMap((raw) => lexBlock(raw, links));
  return Object.assign(tokens, { links });
}

function lexBlock(raw, links) {
  const lexer = newLexer();
  Object.assign(lexer.tokens.links, links);
  try {
    return lexer.lex(raw);
  } catch (error) {
    return [{ type: "plain", raw, error }];
  }
}

function hasLinks(tokens) {
  return Object.keys(tokens.links).length > 0;
}

/** The index of the first token that may still change. */
function settledEnd(tokens) {
  let open = 0;
  for (let index = tokens.length - 1; index >= 0; index -= 1) {
    if (isVisible(tokens[index])) open += 1;
    if (open === UNSETTLED_BLOCKS) return index;
  }
  return 0;
}

function isVisible(token) {
  return token.type !== "space" && token.type !== "def";
}

function toBlocks(tokens, links) {
  const toBlock = (token) => ({ type: token.type, key: `${token.type}\n${links}\n${token.raw}`, token });
  return tokens.filter(isVisible).map(toBlock);
}
