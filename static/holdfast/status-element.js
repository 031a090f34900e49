// <holdfast-status>: custom element that shows the connection in words. An indicator, which opens details, and a notice
// while the user has to wait.

import { countdown, describe, explain } from "./connection-words.js";
import { seeCookies } from "./cookies.js";
import { systemClock } from "./timers.js";

/** @typedef {import("./client.js").Holdfast} Holdfast */
/** @typedef {import("./connection-words.js").Action} Action */

const TICK_MS = 500;
const NOTE_MS = 6_000;
const MARGIN_PX = 12; // between the details and the edge of the window
/** @type {Record<Action, string>} */
const ACTIONS = { retry: "Retry now", reload: "Reload", "sign-in": "Sign in" };

// The notice is never hidden: screen readers announce changes only of visible live regions.
const MARKUP = `
  <span class="status">
    <button part="indicator" type="button" aria-expanded="false" aria-controls="details">
      <span class="unseen">Connection: </span><span part="dot"></span><span part="word">Connecting…</span>
    </button>
    <div part="details" id="details" role="group" aria-label="Connection details" hidden><dl></dl></div>
  </span>
  <div part="notice empty">
    <p part="message" role="status"></p>
    <p part="countdown"></p>
    <button part="action" type="button" hidden></button>
  </div>`;

const STYLES = `
  :host { display: inline-flex; flex-wrap: wrap; align-items: center; }
  :host([hidden]), [hidden] { display: none !important; }
  * { box-sizing: border-box; margin: 0; }
  button { font: inherit; color: inherit; cursor: pointer; }
  :focus-visible { outline: 2px solid var(--holdfast-accent, currentColor); outline-offset: 2px; }
  .unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

  [part~="good"] { --tone: var(--holdfast-good, light-dark(#1a7446, #76cf9f)); }
  [part~="waiting"] { --tone: var(--holdfast-waiting, light-dark(#855600, #e6b95f)); }
  [part~="offline"] { --tone: var(--holdfast-offline, light-dark(#5b6166, #b3b9bd)); }
  [part~="bad"] { --tone: var(--holdfast-bad, light-dark(#b3261e, #f2a19a)); }

  .status { position: relative; display: inline-flex; }
  [part~="indicator"] { display: inline-flex; align-items: center; gap: 0.5em; min-height: 1.75em; padding: 0.1em 0.7em;
    border: 1px solid transparent; border-radius: 2em; background: none; white-space: nowrap; }
  [part~="indicator"]:hover, [part~="indicator"][aria-expanded="true"] {
    background: var(--holdfast-hover, color-mix(in srgb, currentColor 10%, transparent)); }
  [part="dot"] { width: 0.6em; height: 0.6em; border-radius: 50%; background: var(--tone); }
  [part~="waiting"] > [part="dot"] { animation: pulse 1.4s ease-in-out infinite; }
  @keyframes pulse { 50% { opacity: 0.3; } }
  @media (prefers-reduced-motion: reduce) { [part="dot"] { animation: none !important; } }

  [part="details"] { position: absolute; z-index: 1; top: calc(100% + 0.4em); inset-inline-end: 0;
    width: max-content; max-width: min(22rem, calc(100vw - 1.5rem)); padding: 0.9em 1.1em;
    border: 1px solid var(--holdfast-line, color-mix(in srgb, currentColor 25%, transparent)); border-radius: 0.75rem;
    background: var(--holdfast-surface, Canvas); color: var(--holdfast-text, CanvasText);
    box-shadow: 0 6px 24px rgb(0 0 0 / 18%); text-align: start; }
  dl { display: grid; grid-template-columns: auto 1fr; gap: 0.45em 1.1em; line-height: 1.45; }
  dt { opacity: 0.8; white-space: nowrap; }
  dd { overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }

  [part~="notice"] { display: flex; flex-wrap: wrap; align-items: center; gap: 0.25em 0.75em; color: var(--tone);
    margin-inline-start: 0.5em; text-align: center; }
  [part~="empty"] { margin: 0; padding: 0; }
  [part="message"] { text-wrap: balance; }
  [part="countdown"] { font-variant-numeric: tabular-nums; }
  [part="countdown"]:empty { display: none; }
  [part="action"] { padding: 0.15em 0.75em; border: 1px solid currentColor; border-radius: 0.5em; background: none; }
`;

/** @type {CSSStyleSheet|undefined} */
let sheet;

// A constructed style sheet: a strict Content-Security-Policy forbids inline styles. Made with the first element, for
// Node has none.
function styleSheet() {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLES);
  }
  return sheet;
}

// Node, where this module is imported to render pages, has no elements.
const Base = /** @type {typeof HTMLElement} */ (globalThis.HTMLElement ?? class {});

/**
 * Element of the connection status. Set its client: `document.querySelector("holdfast-status").holdfast = holdfast`.
 *
 * Events: `change` when `online` changes; `sign-in` when the user asks to, which reloads the page unless prevented.
 * Parts: indicator, dot, word, details; notice, message, countdown, action. The indicator and the notice also have a
 * part named by tone: good, waiting, offline, bad, or (notice only) empty. Custom properties: `--holdfast-good`,
 * `-waiting`, `-offline`, `-bad`, `-accent`, `-hover`, `-line`, `-surface`, `-text`.
 */
export class HoldfastStatus extends Base {
  /** Whether the connection is shown as good; short interruptions do not count. */
  online = false;
  /** @type {Holdfast|null} */
  #holdfast = null;
  #root = this.attachShadow({ mode: "open" });
  #listening = new AbortController();
  /** Loss of the last good connection, ms; null while connected. @type {number|null} */
  #awaySince = null;
  #wasConnected = false;
  #note = "";
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #noteTimer;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #timer;
  /** @type {Action|null} */
  #action = null;

  constructor() {
    super();
    this.#root.adoptedStyleSheets = [styleSheet()];
    this.#root.innerHTML = MARKUP;
    this.#part("indicator").addEventListener("click", () => this.#open(!this.#isOpen));
    this.#part("action").addEventListener("click", () => this.#act());
    this.#root.addEventListener("keydown", (event) => this.#key(/** @type {KeyboardEvent} */ (event)));
    this.addEventListener("focusout", ({ relatedTarget }) => relatedTarget !== null && this.#open(false));
  }

  connectedCallback() {
    this.#upgrade();
    this.#listen();
  }

  disconnectedCallback() {
    this.#listening.abort();
    clearTimeout(this.#timer);
  }

  get holdfast() {
    return this.#holdfast;
  }

  set holdfast(holdfast) {
    this.#holdfast = holdfast;
    this.#awaySince = systemClock.now();
    this.#wasConnected = false;
    this.#listen();
  }

  /** Show a note for a few seconds, when there is no notice. @param {string} note */
  say(note) {
    this.#note = note;
    clearTimeout(this.#noteTimer);
    this.#noteTimer = setTimeout(() => this.say(""), NOTE_MS);
    this.#render();
  }

  // A page may have set `holdfast` before this module was loaded.
  #upgrade() {
    if (!Object.hasOwn(this, "holdfast")) return;
    const { holdfast } = this;
    Reflect.deleteProperty(this, "holdfast");
    this.holdfast = holdfast;
  }

  #listen() {
    this.#listening.abort();
    this.#listening = new AbortController();
    if (!this.isConnected || !this.#holdfast) return;
    const { signal } = this.#listening;
    this.#holdfast.addEventListener("connection", () => this.#changed(), { signal });
    document.addEventListener("pointerdown", (event) => this.#pointed(event), { signal });
    this.#changed();
  }

  #changed() {
    if (this.#holdfast?.connection.state === "connected") this.#back();
    else this.#awaySince ??= systemClock.now();
    this.#render();
  }

  #back() {
    const told = this.#wasConnected && !this.online;
    this.#awaySince = null;
    this.#wasConnected = true;
    if (told) this.say("Reconnected.");
  }

  #render() {
    clearTimeout(this.#timer);
    if (!this.#holdfast) return;
    const { reason, ...state } = this.#holdfast.connection;
    const connection = { ...state, reason: seeCookies(reason, window) };
    const now = systemClock.now();
    const said = describe(connection, { now, awaySince: this.#awaySince, wasConnected: this.#wasConnected });
    setText(this.#part("word"), said.word);
    setPart(this.#part("indicator"), `indicator ${said.tone}`);
    this.#showNotice(said);
    if (this.#isOpen) this.#showDetails(explain(connection, now));
    this.#setOnline(said.tone === "good");
    const moves = this.#awaySince !== null || this.#isOpen;
    if (moves && this.isConnected) this.#timer = setTimeout(() => this.#render(), TICK_MS);
  }

  /** @param {import("./connection-words.js").StatusText} said */
  #showNotice({ notice, tone, action, retryIn }) {
    const text = notice || this.#note;
    setPart(this.#part("notice"), `notice ${text === "" ? "empty" : notice ? tone : "good"}`);
    setText(this.#part("message"), text);
    setText(this.#part("countdown"), countdown(retryIn));
    this.#action = action;
    this.#part("action").hidden = action === null;
    if (action) setText(this.#part("action"), ACTIONS[action]);
  }

  /** @param {{term: string, text: string}[]} rows */
  #showDetails(rows) {
    const list = /** @type {HTMLElement} */ (this.#root.querySelector("dl"));
    while (list.children.length > 2 * rows.length) list.lastElementChild?.remove();
    while (list.children.length < 2 * rows.length) {
      list.append(document.createElement("dt"), document.createElement("dd"));
    }
    rows.forEach(({ term, text }, index) => {
      setText(list.children[2 * index], term);
      setText(list.children[2 * index + 1], text);
    });
  }

  /** @param {boolean} online */
  #setOnline(online) {
    if (this.online === online) return;
    this.online = online;
    this.dispatchEvent(new Event("change"));
  }

  #act() {
    const action = this.#action;
    if (action === "retry") this.#holdfast?.retry();
    else if (action === "reload" || this.dispatchEvent(new Event("sign-in", { cancelable: true }))) location.reload();
  }

  get #isOpen() {
    return this.#part("indicator").getAttribute("aria-expanded") === "true";
  }

  /** @param {boolean} open */
  #open(open) {
    this.#part("details").hidden = !open;
    this.#part("indicator").setAttribute("aria-expanded", String(open));
    this.#render();
    if (open) this.#keepInWindow(this.#part("details"));
  }

  /** @param {HTMLElement} element */
  #keepInWindow(element) {
    element.style.translate = "";
    const { left, right } = element.getBoundingClientRect();
    const furthest = document.documentElement.clientWidth - MARGIN_PX - right;
    element.style.translate = `${Math.max(MARGIN_PX - left, Math.min(0, furthest))}px`;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key !== "Escape" || !this.#isOpen) return;
    event.preventDefault(); // it closes only the details
    this.#open(false);
    this.#part("indicator").focus();
  }

  /** @param {Event} event */
  #pointed(event) {
    /** @type {EventTarget[]} */
    const own = [this.#part("details"), this.#part("indicator")];
    if (this.#isOpen && !event.composedPath().some((target) => own.includes(target))) this.#open(false);
  }

  /** @param {string} name @returns {HTMLElement} */
  #part(name) {
    return /** @type {HTMLElement} */ (this.#root.querySelector(`[part~="${name}"]`));
  }
}

// Screen readers repeat a live region whenever its text is set, even to the same text.
/** @param {Element} element @param {string} text */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {HTMLElement} element @param {string} names */
function setPart(element, names) {
  if (element.getAttribute("part") !== names) element.setAttribute("part", names);
}

globalThis.customElements?.define("holdfast-status", HoldfastStatus);
