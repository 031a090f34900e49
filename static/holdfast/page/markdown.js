// View of Markdown that may be growing: only what has changed is drawn again, and a long text in pieces.
import { warnOfError } from "./draw-errors.js";
import { areSame, draw } from "./markdown/drawer.js";
import { plainNode } from "./markdown/nodes.js";
import { BlockSplitter } from "./markdown/splitter.js";

/** @typedef {import("./markdown/splitter.js").Block} Block */
/** @typedef {import("./markdown/drawer.js").Drawn} Drawn */

// Characters drawn in one task: some ten milliseconds. A browser that is busy for 100 stutters.
const PIECE = 8_192;
// A last block of this many characters, which is parsed as a whole whenever it grows, is drawn less often: for each
// millisecond of rest this many characters.
const LARGE = 32_768;
const CHARACTERS_PER_MS = 500;

/**
 * @typedef {object} Shown
 * @property {Block} block
 * @property {Drawn} drawn
 * @property {import("./markdown/drawer.js").Asked} asked
 * @property {Error} [error] why it is plain text
 */

/** View of one Markdown text. Its element dispatches "drawn", which bubbles, when a later piece has been drawn. */
export class MarkdownView {
  #blocks = new BlockSplitter();
  /** @type {Shown[]} */
  #shown = [];
  #text = "";
  #growing = false;
  /** Characters of the text that are drawn. */
  #end = 0;
  #isDrawn = true;
  /** Until the next piece, or until a large block is drawn again. @type {ReturnType<typeof setTimeout> | null} */
  #timer = null;

  constructor() {
    this.element = document.createElement("div");
    this.element.className = "prose";
  }

  /** @param {string} text the whole Markdown so far @param {boolean} [growing] whether more is to come */
  update(text, growing = false) {
    if (typeof text !== "string") throw new TypeError("Markdown has to be a string.");
    if (text === this.#text && growing === this.#growing) return;
    if (!text.startsWith(this.#text.slice(0, this.#end))) this.#end = 0;
    this.#text = text;
    this.#growing = growing;
    this.#isDrawn = false;
    if (this.#timer === null) this.#drawPiece();
  }

  #drawPiece() {
    const end = pieceEnd(this.#text, this.#end);
    this.#isDrawn = end === this.#text.length;
    this.#draw(this.#text.slice(0, end), this.#growing || !this.#isDrawn);
    this.#end = end;
    const unsettled = this.#blocks.unsettled(end);
    if (!this.#isDrawn) this.#rest(0);
    else if (this.#growing && unsettled > LARGE) this.#rest(unsettled / CHARACTERS_PER_MS);
  }

  #rest(ms) {
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (this.#isDrawn) return;
      this.#drawPiece();
      this.element.dispatchEvent(new CustomEvent("drawn", { bubbles: true }));
    }, ms);
  }

  #draw(text, growing) {
    const blocks = this.#blocks.split(text, growing);
    blocks.forEach((block, index) => this.#show(block, index));
    this.#shown.splice(blocks.length).forEach(({ drawn }) => drawn.element.remove());
  }

  #show(block, index) {
    const { references } = this.#blocks;
    const shown = this.#shown[index];
    if (shown?.block === block && areSame(shown.asked, references)) return;
    const next = drawBlock(shown, block, references);
    this.#shown[index] = next;
    if (!shown) this.element.append(next.drawn.element);
    else if (next.drawn !== shown.drawn) shown.drawn.element.replaceWith(next.drawn.element);
  }
}

/** Return the end of the next piece: of the text, or of a line. */
function pieceEnd(text, start) {
  const end = start + PIECE;
  if (end >= text.length) return text.length;
  const line = text.lastIndexOf("\n", end) + 1;
  return line > start ? line : end;
}

/** Draw a block; as it was written if it can't be drawn as Markdown. A block that has failed may be half drawn. */
function drawBlock(shown, block, references) {
  const asked = new Map();
  try {
    const drawn = draw(shown?.error ? undefined : shown?.drawn, block.node, { references, asked });
    return { block, drawn, asked };
  } catch (error) {
    if (!shown?.error) warnOfError("A Markdown block", error);
    return { block, drawn: draw(undefined, plainNode(block.source.trimEnd()), { references, asked }), asked, error };
  }
}
