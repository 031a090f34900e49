// Composer: the message box with its send and stop buttons, never disabled. Enter sends, Shift+Enter starts a line.
// While an agent works, Enter steers it and Ctrl+Enter sends the next message.
import { loadDraft, saveDraft } from "./draft.js";
import { composerHint, stopLabel } from "./wording.js";

const MAX_HEIGHT_PX = 240;
// A device with a hovering pointer has a keyboard with a Shift key.
const HAS_KEYBOARD = matchMedia("(hover: hover)").matches;
const IDLE = { working: false, stopping: false, online: true };

/** Dispatches "send" with `detail` `{text, steer}` (`steer`: for the agent at work), and "stop". */
export class Composer extends EventTarget {
  #form = document.getElementById("composer");
  #text = document.getElementById("composer-text");
  #send = document.getElementById("composer-send");
  #next = document.getElementById("composer-next");
  #stop = document.getElementById("composer-stop");
  #stopLabel = document.getElementById("composer-stop-label");
  #hint = document.getElementById("composer-hint");
  #said = "";
  /** @type {boolean|null} whether unsent messages outlive the page */
  #keeps = null;
  /** State of the agent. */
  #work = IDLE;
  /** @type {string|null} */
  #id = null;

  constructor() {
    super();
    this.#form.addEventListener("submit", (event) => this.#submit(event));
    this.#next.addEventListener("click", () => this.#emitSend(false));
    this.#stop.addEventListener("click", () => this.#askForStop());
    this.#text.addEventListener("keydown", (event) => this.#key(event));
    this.#text.addEventListener("input", () => this.#textChanged());
  }

  /** @param {string|null} id of the conversation, null for a new one */
  show(id) {
    this.#id = id;
    this.hidden = false;
    this.setWork(IDLE);
    this.say("");
    this.write(loadDraft(id));
    // On a phone focus would open the keyboard over the conversation.
    if (HAS_KEYBOARD) this.focus();
  }

  set hidden(hidden) {
    this.#form.hidden = hidden;
  }

  /** The text typed and not sent. */
  get text() {
    return this.#text.value;
  }

  /** @param {string} text replaces the typed one */
  write(text) {
    this.#text.value = text;
    this.#textChanged();
  }

  /** @param {string} text shown below the box; empty for the default hint */
  say(text) {
    this.#said = text;
    this.#showHint();
  }

  /** @param {boolean} keeps whether unsent messages outlive the page */
  setKeeping(keeps) {
    this.#keeps = keeps;
    this.#showHint();
  }

  /** @param {{working: boolean, stopping: boolean, online: boolean}} work state of the agent */
  setWork({ working, stopping, online }) {
    const { working: worked, stopping: stopped, online: wasOnline } = this.#work;
    if (working === worked && stopping === stopped && online === wasOnline) return;
    const hadFocus = document.activeElement === this.#stop;
    this.#work = { working, stopping, online };
    this.#stop.hidden = !working && !stopping;
    this.#stop.setAttribute("aria-disabled", String(stopping));
    this.#stopLabel.textContent = stopLabel(stopping);
    this.#send.setAttribute("aria-label", this.#steers ? "Steer" : "Send");
    this.#text.placeholder = this.#steers ? "Steer the agent…" : "Write a message…";
    this.#next.hidden = !this.#steers;
    this.#showHint();
    if (hadFocus && this.#stop.hidden) this.focus();
  }

  /** Whether Enter steers the agent at work. */
  get #steers() {
    return this.#work.working && !this.#work.stopping;
  }

  #showHint() {
    const state = { ...this.#work, keeps: this.#keeps, steers: this.#steers, hasKeyboard: HAS_KEYBOARD };
    const text = this.#said || composerHint(state);
    if (this.#hint.textContent !== text) this.#hint.textContent = text;
  }

  focus() {
    this.#text.focus();
  }

  #key(event) {
    // While an input method composes, Enter accepts its suggestion. 229: Safari ends composing too early.
    const composing = event.isComposing || event.keyCode === 229;
    if (event.key !== "Enter" || event.shiftKey || composing) return;
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) this.#emitSend(false);
    else this.#form.requestSubmit();
  }

  #submit(event) {
    event.preventDefault();
    this.#emitSend(this.#steers);
  }

  /** @param {boolean} steer */
  #emitSend(steer) {
    const text = this.#text.value.trim();
    this.focus();
    if (!text) return;
    this.write("");
    this.say("");
    this.dispatchEvent(new CustomEvent("send", { detail: { text, steer } }));
  }

  #askForStop() {
    if (this.#work.stopping) return;
    this.say("");
    this.dispatchEvent(new Event("stop"));
  }

  #textChanged() {
    saveDraft(this.#id, this.#text.value);
    this.#text.style.height = "auto";
    this.#text.style.height = `${Math.min(this.#text.scrollHeight, MAX_HEIGHT_PX)}px`;
  }
}
