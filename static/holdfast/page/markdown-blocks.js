// Cuts growing Markdown into top-level blocks without reading the settled part again.
import { Lexer } from "../vendor/marked.mjs";

/**
 * @typedef {object} Block
 * @property {string} type  marked's token type: "paragraph", "code", "list", …
 * @property {string} key   equal keys render equally
 * @property {object} token the marked token, inline tokens included
 */

// The next characters can still change the last block and, by turning its first line into a continuation, the
// block before it ("text\n#" is a heading until it becomes "text\n#tag"). Anything before those two is settled.
const UNSETTLED_BLOCKS = 2;

/** Splits one text that mostly grows at its end; any other change starts again from its beginning. */
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
    // A link definition reaches back to every reference before it, so such a text is read as a whole.
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

function lex(source) {
  return new Lexer({ gfm: true }).lex(source);
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
