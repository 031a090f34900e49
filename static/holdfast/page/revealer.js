// Even reveal of growing Markdown: what arrives at once is drawn in steps until about the next arrival.
import { warnOfError } from "./draw-errors.js";
import { MarkdownView } from "./markdown.js";
import { Pacing } from "./pacing.js";

/**
 * The animation frames of all texts that are being revealed; there are none while no text is. Dispatches "drawn" after
 * drawing.
 */
export class Revealer extends EventTarget {
  #frame = 0;
  /** @type {Set<RevealedMarkdown>} */
  #texts = new Set();
  #reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

  constructor() {
    super();
    this.#reducedMotion.addEventListener("change", () => this.finish());
  }

  /** Whether new text is to be spread. A hidden page gets no animation frames. */
  get isEven() {
    return !this.#reducedMotion.matches && !document.hidden;
  }

  /** @param {RevealedMarkdown} text that is shown in part */
  add(text) {
    this.#texts.add(text);
    this.#frame ||= requestAnimationFrame(() => this.#step());
  }

  /** Show all that has arrived, now. */
  finish() {
    cancelAnimationFrame(this.#frame);
    for (const text of this.#texts) text.finish();
    if (this.#texts.size) this.#step();
  }

  #step() {
    for (const text of this.#texts) if (isWhole(text)) this.#texts.delete(text);
    this.#frame = this.#texts.size && requestAnimationFrame(() => this.#step());
    this.dispatchEvent(new Event("drawn"));
  }
}

/** View of one Markdown text that is revealed evenly while it grows. */
export class RevealedMarkdown {
  #markdown = new MarkdownView();
  #pacing = new Pacing();
  #text = "";
  #isGrowing = false;
  element = this.#markdown.element;

  /**
   * @param {string} text the whole Markdown so far
   * @param {boolean} isGrowing whether more is to come; if not, it is shown at once
   * @param {Revealer} revealer
   */
  update(text, isGrowing, revealer) {
    if (text === this.#text && isGrowing === this.#isGrowing) return;
    this.#pacing.arrive(text, performance.now(), isGrowing && revealer.isEven);
    this.#text = text;
    this.#isGrowing = isGrowing;
    if (!this.reveal()) revealer.add(this);
  }

  /** Show all that has arrived when it is drawn next. */
  finish() {
    this.#pacing.finish();
  }

  /** Draw what is due. @returns {boolean} whether that is all */
  reveal() {
    const shown = this.#pacing.shownAt(performance.now());
    this.#markdown.update(this.#text.slice(0, shown), this.#isGrowing);
    return shown === this.#text.length;
  }
}

// The message draws a text that fails here again when it changes next, and then in another way.
function isWhole(text) {
  try {
    return text.reveal();
  } catch (error) {
    warnOfError("A text", error);
    return true;
  }
}
