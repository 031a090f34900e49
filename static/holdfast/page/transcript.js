// Transcript: the messages of the conversation shown, drawn at most once per frame, with notices around them.
import { sentence } from "../connection-words.js";
import { alternativesOf, joinContinued, responsesOf } from "../branches.js";
import { warnOfError } from "./draw-errors.js";
import { MessageView, noticeOf, textOf } from "./message-view.js";
import { Revealer } from "./revealer.js";
import { ScrollFollower } from "./scroll-follower.js";
import { SignalStatus, interleave } from "./signal-status.js";
import { UnreadLine } from "./unread-line.js";
import { alternativeNotice, approvalNews, goneNotice, refusalNotice, resetNotice } from "./wording.js";

const PAGE = 30; // earlier messages at a time
const ANNOUNCED = 10_000; // characters of an answer
const RETRYABLE = ["interrupted", "failed", "cancelled"];

/**
 * Dispatches "render" after drawing, "watching" when `watching` has changed, and "refused" (`detail`: the error) when
 * the
 * server refuses a retry.
 */
export class Transcript extends EventTarget {
  /** Whether the newest text is in view: the page is visible and scrolled to the end. */
  watching = true;
  #pane = document.getElementById("transcript");
  #list = document.getElementById("messages");
  #welcome = document.getElementById("welcome");
  #gone = document.getElementById("gone");
  #notice = document.getElementById("transcript-notice");
  #earlier = document.getElementById("earlier");
  #jump = document.getElementById("jump");
  #news = document.getElementById("jump-news");
  #announcer = document.getElementById("announcer");
  #follower = new ScrollFollower(this.#pane);
  #unread = new UnreadLine(this.#list);
  #revealer = new Revealer();
  /** @type {import("../index.js").Session | null} */
  #session = null;
  /** @type {Map<string, MessageView>} */
  #views = new Map();
  /** Numbers of the alternatives that are drawn instead of the last, by the id of the answer on show. */
  #alternatives = new Map();
  /** Messages whose conversation does not exist yet. @type {object[]} */
  #pending = [];
  #dirty = new Set();
  #signalStatus = new SignalStatus([], null);
  /** Id of the answer that can be continued or regenerated. @type {string|null} */
  #retryable = null;
  /** Why a decision of this tab was refused, by approval. @type {Map<string, string>} */
  #refusals = new Map();
  /** Ids of announced approvals. @type {Set<string>} */
  #announced = new Set();
  #frame = 0;
  #online = true;
  #listening = new AbortController();
  #actor;

  /** @param {() => string|null} actor returns the actor of this page */
  constructor(actor) {
    super();
    this.#actor = actor;
    this.#jump.addEventListener("click", () => this.#jumpByButton());
    for (const drawing of [this.#list, this.#revealer]) drawing.addEventListener("drawn", () => this.#grown());
    this.#list.addEventListener("dismiss", ({ detail: id }) => this.#session?.dismiss(id));
    this.#list.addEventListener("decide", ({ detail }) => this.#decide(detail));
    this.#list.addEventListener("alternative", ({ detail }) => this.#showAlternative(detail));
    this.#list.addEventListener("retry", ({ detail }) => this.#retry(detail));
    this.#follower.addEventListener("change", () => this.#watch());
    document.addEventListener("visibilitychange", () => this.#watch());
    this.#earlier.addEventListener("click", () => this.#loadEarlier());
    document.getElementById("transcript-notice-close").addEventListener("click", () => this.#say(""));
  }

  /**
   * @param {import("../index.js").Session | null} session null for a new conversation
   * @param {() => number|null} retentionHours returns the retention of the session, if known
   */
  show(session, retentionHours) {
    this.#leave();
    this.#session = session;
    this.#welcome.hidden = session !== null;
    if (session === null) return;
    const { signal } = this.#listening;
    session.addEventListener("change", ({ detail }) => this.#sessionChanged(detail), { signal });
    const reset = ({ detail: reason }) => this.#reset(resetNotice(reason, retentionHours()));
    session.addEventListener("reset", reset, { signal });
    this.#everythingChanged();
    this.#follower.jump();
  }

  /** @param {string} text of a message whose conversation does not exist yet */
  showWaiting(text) {
    this.#welcome.hidden = true;
    const id = `new-${this.#pending.length}`;
    this.#pending.push({ id, role: "user", status: "waiting", parts: [{ type: "text", text }] });
    this.#changed([id]);
  }

  /** @param {boolean} online whether messages can be sent now */
  setOnline(online) {
    if (this.#online === online) return;
    this.#online = online;
    this.#everythingChanged();
  }

  /** Scroll to the end, after the user has sent something. */
  jump() {
    this.#unread.clear();
    this.#follower.jump();
  }

  get #messages() {
    return joinContinued(this.#session?.messages ?? this.#pending);
  }

  get #replaced() {
    return joinContinued(this.#session?.replaced ?? []);
  }

  /** Messages and loose steers. */
  get #entries() {
    const messages = this.#messages;
    return interleave(messages, this.#signalStatus.looseSteers(messages));
  }

  // The button disappears, and would take the focus with it.
  #jumpByButton() {
    this.#follower.jump();
    this.#pane.focus({ preventScroll: true });
  }

  #watch() {
    this.#showJump();
    const watching = !document.hidden && this.#follower.following;
    // Before the line is drawn: what has arrived by now counts as seen.
    if (!watching) this.#revealer.finish();
    if (this.watching === watching) return;
    this.watching = watching;
    if (!watching && this.#session?.ready) this.#unread.leave();
    this.dispatchEvent(new Event("watching"));
  }

  #leave() {
    this.#listening.abort();
    this.#listening = new AbortController();
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#dirty.clear();
    this.#forget();
    this.#gone.hidden = true;
    this.#earlier.hidden = true;
    this.#say("");
  }

  #forget() {
    this.#unread.clear();
    this.#views.clear();
    this.#list.replaceChildren();
    this.#alternatives.clear();
    this.#pending = [];
    this.#retryable = null;
    this.#refusals.clear();
    this.#announced.clear();
  }

  #reset(notice) {
    this.#forget();
    this.#say(notice);
    this.#everythingChanged();
  }

  #sessionChanged({ messages, signals }) {
    // A signal may change the status of a message with another id.
    if (signals.size) this.#everythingChanged();
    else this.#changed(messages);
  }

  #everythingChanged() {
    this.#changed(this.#views.keys());
  }

  #changed(ids) {
    for (const id of ids) this.#dirty.add(id);
    this.#frame ||= requestAnimationFrame(() => this.#render());
  }

  #render() {
    this.#frame = 0;
    this.#signalStatus = new SignalStatus(this.#session?.signals ?? [], this.#actor());
    this.#findRetryable();
    const entries = this.#entries;
    const replaced = this.#replaced;
    for (const entry of entries) {
      const isDirty = responsesOf(entry).some((id) => this.#dirty.has(id));
      if (isDirty || !this.#views.has(entry.id)) this.#draw(entry, replaced);
    }
    this.#dirty.clear();
    this.#arrange(entries);
    if (this.#session) this.#showState(this.#session);
    this.#announceApprovals();
    this.#grown();
    this.dispatchEvent(new Event("render"));
  }

  #grown() {
    this.#unread.draw();
    this.#follower.settle();
    this.#showJump();
  }

  #draw(message, replaced) {
    const known = this.#views.get(message.id);
    const before = known?.element.dataset.status;
    const view = known ?? new MessageView(message);
    this.#views.set(message.id, view);
    // A failure here must not affect the rest of the conversation.
    try {
      this.#drawAlternative(view, message, replaced);
      if (before === "streaming" && message.status !== "streaming") this.#announceAnswer(message);
    } catch (error) {
      warnOfError("A message", error);
    }
  }

  #drawAlternative(view, message, replaced) {
    const all = alternativesOf(message, replaced);
    const number = this.#alternatives.get(message.id) ?? all.length;
    view.update(all[number - 1], { ...this.#surroundings, alternative: { number, count: all.length } });
  }

  get #surroundings() {
    return {
      signalStatus: this.#signalStatus,
      online: this.#online,
      retryable: this.#retryable,
      refusals: this.#refusals,
      revealer: this.#revealer,
    };
  }

  #findRetryable() {
    const last = this.#session?.messages.at(-1);
    const may = last?.role === "assistant" && RETRYABLE.includes(last.status) && !this.#session.working;
    const retryable = may ? last.id : null;
    for (const id of [this.#retryable, retryable]) if (retryable !== this.#retryable) this.#dirty.add(id);
    this.#retryable = retryable;
  }

  #announceApprovals() {
    for (const { approval, tool } of this.#session?.approvals ?? []) {
      if (!this.#announced.has(approval)) this.#announce(approvalNews(tool));
      this.#announced.add(approval);
    }
  }

  // --- Actions of the user ---

  async #decide({ approval, approved, inputText }) {
    const session = this.#session;
    this.jump();
    this.#refusals.delete(approval);
    try {
      await (approved ? session.approve(approval, { inputText }) : session.deny(approval));
    } catch (error) {
      this.#refusals.set(approval, refusalNotice(error));
      this.#announce(refusalNotice(error));
      this.#everythingChanged();
    }
  }

  #showAlternative({ id, number }) {
    const count = alternativesOf(this.#messages.find((message) => message.id === id), this.#replaced).length;
    if (number < count) this.#alternatives.set(id, number);
    else this.#alternatives.delete(id);
    this.#announce(alternativeNotice(number, count));
    this.#changed([id]);
  }

  async #retry({ message, mode }) {
    this.jump();
    try {
      await this.#session.retry(message, mode);
    } catch (error) {
      this.dispatchEvent(new CustomEvent("refused", { detail: error }));
    }
  }

  // --- Drawing ---

  #arrange(messages) {
    const ids = new Set(messages.map(({ id }) => id));
    for (const [id, view] of this.#views) {
      if (ids.has(id)) continue;
      view.element.remove();
      this.#views.delete(id);
      this.#alternatives.delete(id);
    }
    messages.forEach(({ id }, index) => {
      const { element } = this.#views.get(id);
      if (this.#list.children[index] !== element) this.#list.insertBefore(element, this.#list.children[index] ?? null);
    });
  }

  #showState({ ready, gone, older, messages }) {
    this.#pane.setAttribute("aria-busy", String(!ready && !gone));
    this.#earlier.hidden = !older || messages.length === 0;
    this.#gone.hidden = !gone;
    if (gone) document.getElementById("gone-text").textContent = goneNotice(gone);
  }

  async #loadEarlier() {
    const session = this.#session;
    this.#earlier.disabled = true;
    try {
      await session.loadOlder(PAGE);
      if (session !== this.#session) return;
      for (const id of this.#views.keys()) this.#dirty.add(id); // they may have further alternatives
      this.#follower.keepPlace(() => this.#render());
    } catch (error) {
      this.#say(`Earlier messages can't be loaded: ${sentence(error.message)}`);
    } finally {
      this.#earlier.disabled = false;
    }
  }

  #showJump() {
    this.#jump.hidden = this.#follower.following;
    this.#news.textContent = this.#unread.shown ? "New" : "";
  }

  #say(text) {
    document.getElementById("transcript-notice-text").textContent = text;
    this.#notice.hidden = text === "";
    if (text) this.#announce(text);
  }

  // Screen readers hear an answer once, when it is complete, not token by token.
  #announceAnswer(message) {
    this.#announce(`Assistant: ${textOf(message).slice(0, ANNOUNCED)} ${noticeOf(message, this.#signalStatus)}`);
  }

  #announce(text) {
    const said = document.createElement("p");
    said.textContent = text;
    this.#announcer.replaceChildren(said);
  }
}
