// The conversation on show: its messages in order, drawn at most once a frame, and what is said around them.
import { getMessages } from "./api.js";
import { warnOfError } from "./draw-errors.js";
import { MessageView, noticeOf, textOf } from "./message-view.js";
import { ScrollFollower } from "./scroll-follower.js";
import { SignalStatus, interleave } from "./signal-status.js";
import { UnreadLine } from "./unread-line.js";
import { approvalNews, goneNotice, refusalNotice, resetNotice } from "./wording.js";

const PAGE = 30; // earlier messages at a time
const RETRYABLE = ["interrupted", "failed", "cancelled"];

/**
 * Dispatches "render" when it has drawn, "watching" when `watching` has changed, and "refused", with an error as its
 * `detail`, when the server refuses what was asked for here.
 */
export class Transcript extends EventTarget {
  /** Whether what is written is seen: the tab is in front, and its end in sight. */
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
  /** @type {import("../index.js").Session | null} */
  #session = null;
  /** @type {Map<string, MessageView>} */
  #views = new Map();
  /** Earlier pages, which the client doesn't keep. @type {object[]} */
  #older = [];
  #olderLeft = false;
  /** Messages whose conversation doesn't exist yet. @type {object[]} */
  #pending = [];
  #dirty = new Set();
  #signalStatus = new SignalStatus([], null);
  /** The answer that may be continued or given anew. @type {string|null} */
  #retryable = null;
  /** Why a decision of this tab's didn't count, by approval. @type {Map<string, string>} */
  #refusals = new Map();
  /** Approvals that a screen reader has heard of. @type {Set<string>} */
  #told = new Set();
  #frame = 0;
  #online = true;
  #listening = new AbortController();
  #actor;

  /** @param {() => string|null} actor who this page acts as */
  constructor(actor) {
    super();
    this.#actor = actor;
    this.#jump.addEventListener("click", () => this.#jumpByButton());
    this.#list.addEventListener("dismiss", ({ detail: id }) => this.#session?.dismiss(id));
    this.#list.addEventListener("decide", ({ detail }) => this.#decide(detail));
    this.#list.addEventListener("retry", ({ detail }) => this.#retry(detail));
    this.#follower.addEventListener("change", () => this.#watch());
    document.addEventListener("visibilitychange", () => this.#watch());
    this.#earlier.addEventListener("click", () => this.#loadEarlier());
    document.getElementById("transcript-notice-close").addEventListener("click", () => this.#say(""));
  }

  /**
   * @param {import("../index.js").Session | null} session null: nothing is chosen yet
   * @param {() => number|null} retentionHours of the session, as far as it is known when asked
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

  /** @param {string} text a message whose conversation doesn't exist yet */
  showWaiting(text) {
    this.#welcome.hidden = true;
    const id = `new-${this.#pending.length}`;
    this.#pending.push({ id, role: "user", status: "waiting", parts: [{ type: "text", text }] });
    this.#changed([id]);
  }

  /** @param {boolean} online whether messages can leave */
  setOnline(online) {
    if (this.#online === online) return;
    this.#online = online;
    this.#everythingChanged();
  }

  /** Go to the end, where a person has just written. */
  jump() {
    this.#unread.clear();
    this.#follower.jump();
  }

  get #messages() {
    return this.#older.concat(this.#session?.messages ?? this.#pending);
  }

  /** Messages, and the steers that are in none of them. */
  get #entries() {
    const messages = this.#messages;
    return interleave(messages, this.#signalStatus.looseSteers(messages));
  }

  // The button goes, and would take the keyboard's place with it.
  #jumpByButton() {
    this.#follower.jump();
    this.#pane.focus({ preventScroll: true });
  }

  #watch() {
    this.#showJump();
    const watching = !document.hidden && this.#follower.following;
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
    this.#older = [];
    this.#olderLeft = false;
    this.#pending = [];
    this.#retryable = null;
    this.#refusals.clear();
    this.#told.clear();
  }

  #reset(notice) {
    this.#forget();
    this.#say(notice);
    this.#everythingChanged();
  }

  #sessionChanged({ messages, signals }) {
    // A signal says how a message stands, and perhaps not the one whose id it has.
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
    for (const entry of entries) {
      if (this.#dirty.has(entry.id) || !this.#views.has(entry.id)) this.#draw(entry);
    }
    this.#dirty.clear();
    this.#arrange(entries);
    this.#unread.draw();
    if (this.#session) this.#showState(this.#session);
    this.#tellApprovals();
    this.#follower.settle();
    this.#showJump();
    this.dispatchEvent(new Event("render"));
  }

  #draw(message) {
    const known = this.#views.get(message.id);
    const before = known?.element.dataset.status;
    const view = known ?? new MessageView(message);
    this.#views.set(message.id, view);
    // Whatever fails here, the rest of the conversation is drawn.
    try {
      view.update(message, this.#surroundings);
      if (before === "streaming" && message.status !== "streaming") this.#announceAnswer(message);
    } catch (error) {
      warnOfError("A message", error);
    }
  }

  get #surroundings() {
    return { signalStatus: this.#signalStatus, online: this.#online, retryable: this.#retryable, refusals: this.#refusals };
  }

  #findRetryable() {
    const last = this.#session?.messages.at(-1);
    const may = last?.role === "assistant" && RETRYABLE.includes(last.status) && !this.#session.working;
    const retryable = may ? last.id : null;
    for (const id of [this.#retryable, retryable]) if (retryable !== this.#retryable) this.#dirty.add(id);
    this.#retryable = retryable;
  }

  #tellApprovals() {
    for (const { approval, tool } of this.#session?.approvals ?? []) {
      if (!this.#told.has(approval)) this.#announce(approvalNews(tool));
      this.#told.add(approval);
    }
  }

  // --- What a person asks for here ---

  async #decide({ approval, approved, input }) {
    const session = this.#session;
    this.jump();
    this.#refusals.delete(approval);
    try {
      await (approved ? session.approve(approval, { input }) : session.deny(approval));
    } catch (error) {
      this.#refusals.set(approval, refusalNotice(error));
      this.#announce(refusalNotice(error));
      this.#everythingChanged();
    }
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
    }
    messages.forEach(({ id }, index) => {
      const { element } = this.#views.get(id);
      if (this.#list.children[index] !== element) this.#list.insertBefore(element, this.#list.children[index] ?? null);
    });
  }

  #showState({ ready, gone, older, messages }) {
    this.#pane.setAttribute("aria-busy", String(!ready && !gone));
    this.#earlier.hidden = !(this.#older.length ? this.#olderLeft : older) || messages.length === 0;
    this.#gone.hidden = !gone;
    if (gone) document.getElementById("gone-text").textContent = goneNotice(gone);
  }

  async #loadEarlier() {
    const session = this.#session;
    const [first] = this.#messages;
    this.#earlier.disabled = true;
    try {
      const { results, more } = await getMessages(session.id, { before: first.first_serial, limit: PAGE });
      if (session !== this.#session) return;
      this.#older = results.concat(this.#older);
      this.#olderLeft = more;
      this.#follower.keepPlace(() => this.#render());
    } catch (error) {
      this.#say(`Earlier messages can't be loaded: ${error.message}`);
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

  // A screen reader hears an answer once, when it is whole, and not each of its tokens.
  #announceAnswer(message) {
    this.#announce(`Assistant: ${textOf(message)} ${noticeOf(message, this.#signalStatus)}`);
  }

  #announce(text) {
    const said = document.createElement("p");
    said.textContent = text;
    this.#announcer.replaceChildren(said);
  }
}
