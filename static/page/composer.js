// Where a person writes. Enter sends, Shift+Enter starts a line; it is never disabled.
import { loadDraft, saveDraft } from "./draft.js";

const MAX_HEIGHT_PX = 240;
// Where there is a pointer that hovers, there is a keyboard with a Shift key.
const HAS_KEYBOARD = matchMedia("(hover: hover)").matches;
const USUAL_HINT = HAS_KEYBOARD ? "Enter sends, Shift+Enter starts a new line" : "";

/** Dispatches "send" with `detail.text`. */
export class Composer extends EventTarget {
  #form = document.getElementById("composer");
  #text = document.getElementById("composer-text");
  #hint = document.getElementById("composer-hint");
  /** @type {string|null} */
  #id = null;

  constructor() {
    super();
    this.#form.addEventListener("submit", (event) => this.#submit(event));
    this.#text.addEventListener("keydown", (event) => this.#key(event));
    this.#text.addEventListener("input", () => this.#typed());
  }

  /** @param {string|null} id the conversation that is written to */
  show(id) {
    this.#id = id;
    this.hidden = false;
    this.say("");
    this.write(loadDraft(id));
    // On a phone focus would open the keyboard over the conversation.
    if (HAS_KEYBOARD) this.focus();
  }

  set hidden(hidden) {
    this.#form.hidden = hidden;
  }

  /** What is typed and not sent. */
  get text() {
    return this.#text.value;
  }

  /** @param {string} text in place of what is there */
  write(text) {
    this.#text.value = text;
    this.#typed();
  }

  /** @param {string} text below the box; empty for the usual hint */
  say(text) {
    const said = text || USUAL_HINT;
    if (this.#hint.textContent !== said) this.#hint.textContent = said;
  }

  focus() {
    this.#text.focus();
  }

  #key(event) {
    // While an input method composes, Enter accepts its suggestion. 229: Safari ends composing a moment too early.
    const composing = event.isComposing || event.keyCode === 229;
    if (event.key !== "Enter" || event.shiftKey || composing) return;
    event.preventDefault();
    this.#form.requestSubmit();
  }

  #submit(event) {
    event.preventDefault();
    const text = this.#text.value.trim();
    if (!text) return;
    this.write("");
    this.say("");
    this.dispatchEvent(new CustomEvent("send", { detail: { text } }));
  }

  #typed() {
    saveDraft(this.#id, this.#text.value);
    this.#text.style.height = "auto";
    this.#text.style.height = `${Math.min(this.#text.scrollHeight, MAX_HEIGHT_PX)}px`;
  }
}
