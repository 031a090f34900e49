// Pacing of a growing text: how much of it to show at a time, so that it grows evenly however it arrives. Pure.
import { textCuts } from "./text-cuts.js";

// The longest time that an arrival is spread over.
const MOST_MS = 200;
// Steps are about as far apart as the frames of a server that is not loaded. More frequent arrivals are shown at once:
// they look even, and drawing costs no more than the arrivals do.
const STEP_MS = 40;
// After a longer gap (a pause, a reconnection, a page that the browser seldom draws) the time to the next arrival is
// unknown, and the text is shown at once.
const PAUSE_MS = 500;
const REMEMBERED_GAPS = 4;
// More UTF-16 code units than this are a catch-up, not an answer as it is written: they fill a phone's screen.
const SCREENFUL = 600;

/** Pacing of one text. It starts over when the text changes other than at its end. */
export class Pacing {
  #text = "";
  #arrivedAt = -Infinity;
  /** Times between the latest arrivals, ms. @type {number[]} */
  #gaps = [];
  /** Length that was shown at the latest arrival. */
  #from = 0;
  /** Where the rest may be cut. @type {number[]} */
  #cuts = [];
  /** Steps after the first, and the time until all is shown; no steps: it is already. */
  #steps = 0;
  #spreadMs = 0;

  /**
   * @param {string} text the whole text so far
   * @param {number} now ms; never goes back
   * @param {boolean} isEven whether to spread what is new; else it is shown at once
   */
  arrive(text, now, isEven) {
    const continues = text.startsWith(this.#text);
    const shown = continues ? this.shownAt(now) : text.length;
    this.#noteGap(now);
    this.#text = text;
    this.#from = shown;
    this.#spreadMs = this.#nextGap;
    this.#steps = Math.round(this.#spreadMs / STEP_MS);
    if (!isEven || this.#steps < 2 || text.length - shown > SCREENFUL) this.finish();
    else this.#cuts = textCuts(text, shown);
  }

  /** Show all that has arrived. */
  finish() {
    this.#steps = 0;
  }

  /** @param {number} now ms @returns {number} length to show, in UTF-16 code units; never inside a grapheme */
  shownAt(now) {
    const share = (now - this.#arrivedAt) / this.#spreadMs;
    if (this.#steps === 0 || share >= 1) return this.#text.length;
    const whole = Math.floor(share * this.#steps) / this.#steps;
    const due = this.#from + whole * (this.#text.length - this.#from);
    // The first words are due when they arrive, and later ones when their first letter is.
    return this.#cuts.find((cut) => cut > due) ?? this.#text.length;
  }

  get #nextGap() {
    const sum = this.#gaps.reduce((total, gap) => total + gap, 0);
    return Math.min(MOST_MS, sum / Math.max(1, this.#gaps.length));
  }

  #noteGap(now) {
    const gap = now - this.#arrivedAt;
    this.#arrivedAt = now;
    this.#gaps = gap > PAUSE_MS ? [] : [...this.#gaps, gap].slice(-REMEMBERED_GAPS);
  }
}
