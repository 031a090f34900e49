// Code block with its language and a copy button.
import { copyButton } from "./copy-button.js";

// Long code is laid out in pieces of this many characters, so that only its end is laid out again while it grows.
const PIECE = 8_192;

export class CodeBlock {
  #label = document.createElement("span");
  #code = document.createElement("code");
  #end = document.createTextNode("");
  /** Text of the pieces before the end. */
  #settled = "";

  constructor() {
    this.element = document.createElement("figure");
    this.element.className = "code-block";
    this.element.dataset.testid = "code-block";
    this.#label.className = "code-language";
    const head = document.createElement("figcaption");
    head.append(this.#label, copyButton("Copy code", () => this.#code.textContent ?? ""));
    const pre = document.createElement("pre");
    pre.tabIndex = 0; // wide code scrolls by keyboard
    this.#code.append(this.#end);
    pre.append(this.#code);
    this.element.append(head, pre);
  }

  /**
   * @param {string} text
   * @param {string} [language] the fence's info string, or a label
   */
  update(text, language) {
    this.#label.textContent = language?.split(/\s/)[0] || "text";
    this.#show(text);
  }

  #show(text) {
    if (text.length < this.#settled.length || !text.startsWith(this.#settled)) this.#clear();
    for (let end = pieceEnd(text, this.#settled.length); end; end = pieceEnd(text, end)) {
      const piece = document.createElement("span");
      piece.textContent = text.slice(this.#settled.length, end);
      this.#code.insertBefore(piece, this.#end);
      this.#settled = text.slice(0, end);
    }
    const rest = text.slice(this.#settled.length);
    // A selection in growing text stays.
    if (rest.startsWith(this.#end.data)) this.#end.appendData(rest.slice(this.#end.data.length));
    else this.#end.data = rest;
  }

  #clear() {
    this.#settled = "";
    this.#code.replaceChildren(this.#end);
  }
}

/** Return where a piece that begins at `start` ends: with a line; 0 if there is no more than one. */
function pieceEnd(text, start) {
  if (text.length - start <= 2 * PIECE) return 0;
  const end = text.indexOf("\n", start + PIECE) + 1;
  return end < text.length ? end : 0;
}
