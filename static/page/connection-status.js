// The connection in words: a small indicator that is always there, and a strip when a person is kept waiting.
import { describe, GRACE_MS, transportName } from "./connection-words.js";
import { signInPath } from "./router.js";
import { caughtUpNotice } from "./wording.js";

const TICK_MS = 500;
const CAUGHT_UP_MS = 6_000;
const ACTIONS = { retry: "Retry now", reload: "Reload", "sign-in": "Sign in" };

/** Dispatches "change" when `online` does. */
export class ConnectionStatus extends EventTarget {
  /** Whether the connection is good, as far as the page says: a blip changes nothing. */
  online = false;
  #holdfast;
  #indicator = document.getElementById("connection");
  #strip = document.getElementById("strip");
  #text = document.getElementById("strip-text");
  #countdown = document.getElementById("strip-countdown");
  #button = document.getElementById("strip-action");
  #awaySince = Date.now();
  #wasConnected = false;
  #hiddenSince = 0;
  /** How long the person was away before the latest return, ms; 0 once its catch-up is told. */
  #away = 0;
  #timer = 0;
  #note = "";
  #action = null;

  /** @param {import("../holdfast/index.js").Holdfast} holdfast */
  constructor(holdfast) {
    super();
    this.#holdfast = holdfast;
    holdfast.addEventListener("connection", () => this.#changed());
    this.#button.addEventListener("click", () => this.#act());
    document.addEventListener("visibilitychange", () => this.#visible());
    this.#changed();
  }

  /** Say once what a return has brought. @param {{events: number, ms: number}} caughtUp */
  caughtUp(caughtUp) {
    if (caughtUp.events === 0 || this.#away < GRACE_MS) return;
    this.#away = 0;
    this.#note = caughtUpNotice(caughtUp);
    setTimeout(() => {
      this.#note = "";
      this.#render();
    }, CAUGHT_UP_MS);
    this.#render();
  }

  #changed() {
    if (this.#holdfast.connection.state === "connected") this.#back();
    else this.#awaySince ??= Date.now();
    this.#render();
  }

  #back() {
    if (this.#wasConnected && this.#awaySince !== null) this.#away = Date.now() - this.#awaySince;
    this.#awaySince = null;
    this.#wasConnected = true;
  }

  // A page that comes to the front again was away, even if its socket is replaced within the grace.
  #visible() {
    if (document.hidden) this.#hiddenSince = Date.now();
    else this.#away = Date.now() - this.#hiddenSince;
  }

  #render() {
    clearTimeout(this.#timer);
    const { connection } = this.#holdfast;
    const view = { now: Date.now(), awaySince: this.#awaySince, wasConnected: this.#wasConnected };
    const said = describe(connection, view);
    this.#setOnline(said.tone === "good");
    this.#showIndicator(said, connection);
    this.#showStrip(said);
    if (this.#awaySince !== null) this.#timer = setTimeout(() => this.#render(), TICK_MS);
  }

  #setOnline(online) {
    if (this.online === online) return;
    this.online = online;
    this.dispatchEvent(new Event("change"));
  }

  #showIndicator({ word, tone }, { state, transport }) {
    setText(this.#indicator.querySelector("[data-word]"), word);
    this.#indicator.dataset.tone = tone;
    this.#indicator.title = state === "connected" && transport ? `Over ${transportName(transport)}` : "";
    document.body.dataset.connection = state;
  }

  #showStrip({ strip, tone, action, retryIn }) {
    const text = strip || this.#note;
    this.#strip.dataset.tone = strip ? tone : "good";
    this.#strip.toggleAttribute("data-empty", text === "");
    setText(this.#text, text);
    setText(this.#countdown, countdown(retryIn));
    this.#action = action;
    this.#button.hidden = action === null;
    if (action) setText(this.#button, ACTIONS[action]);
  }

  #act() {
    if (this.#action === "reload") location.reload();
    else if (this.#action === "sign-in") location.assign(signInPath());
    else this.#holdfast.retry();
  }
}

function countdown(seconds) {
  if (seconds === null) return "";
  return seconds > 0 ? `Trying again in ${seconds} s` : "Trying again…";
}

// A live region is read again whenever its text is set, so an unchanged text is left alone.
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
