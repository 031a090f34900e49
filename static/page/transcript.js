// The conversation on show: its messages in order, drawn at most once a frame, and what is said around them.
import { getMessages } from "./api.js";
import { MessageView, textOf } from "./message-view.js";
import { ScrollFollower } from "./scroll-follower.js";
import { UnreadLine } from "./unread-line.js";
import { answerNotice, goneNotice, resetNotice } from "./wording.js";

const PAGE = 30; // earlier messages at a time

/** Dispatches "render" when it has drawn, and "watching" when `watching` has changed. */
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
  /** @type {import("../holdfast/index.js").Session | null} */
  #session = null;
  /** @type {Map<string, MessageView>} */
  #views = new Map();
  /** Earlier pages, which the client doesn't keep. @type {object[]} */
  #older = [];
  #olderLeft = false;
  /** Messages whose conversation doesn't exist yet. @type {object[]} */
  #pending = [];
  #dirty = new Set();
  #frame = 0;
  #online = true;
  #listening = new AbortController();

  constructor() {
    super();
    this.#jump.addEventListener("click", () => this.#jumpByButton());
    this.#list.addEventListener("dismiss", ({ detail: id }) => this.#session?.dismiss(id));
    this.#follower.addEventListener("change", () => this.#watch());
    document.addEventListener("visibilitychange", () => this.#watch());
    this.#earlier.addEventListener("click", () => this.#loadEarlier());
    document.getElementById("transcript-notice-close").addEventListener("click", () => this.#say(""));
  }

  /**
   * @param {import("../holdfast/index.js").Session | null} session null: nothing is chosen yet
   * @param {() => number|null} retentionHours of the session, as far as it is known when asked
   */
  show(session, retentionHours) {
    this.#leave();
    this.#session = session;
    this.#welcome.hidden = session !== null;
    if (session === null) return;
    const { signal } = this.#listening;
    session.addEventListener("change", ({ detail }) => this.#changed(detail.messages), { signal });
    const reset = ({ detail: reason }) => this.#reset(resetNotice(reason, retentionHours()));
    session.addEventListener("reset", reset, { signal });
    this.#changed(session.messages.map(({ id }) => id));
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
    this.#changed(this.#messages.filter(({ status }) => status === "waiting").map(({ id }) => id));
  }

  /** Go to the end, where a person has just written. */
  jump() {
    this.#unread.clear();
    this.#follower.jump();
  }

  get #messages() {
    return this.#older.concat(this.#session?.messages ?? this.#pending);
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
  }

  #reset(notice) {
    this.#forget();
    this.#say(notice);
    this.#changed(this.#session.messages.map(({ id }) => id));
  }

  #changed(ids) {
    for (const id of ids) this.#dirty.add(id);
    this.#frame ||= requestAnimationFrame(() => this.#render());
  }

  #render() {
    this.#frame = 0;
    const messages = this.#messages;
    for (const message of messages) {
      if (this.#dirty.has(message.id) || !this.#views.has(message.id)) this.#draw(message);
    }
    this.#dirty.clear();
    this.#arrange(messages);
    this.#unread.draw();
    if (this.#session) this.#showState(this.#session);
    this.#follower.settle();
    this.#showJump();
    this.dispatchEvent(new Event("render"));
  }

  #draw(message) {
    const known = this.#views.get(message.id);
    const before = known?.element.dataset.status;
    const view = known ?? new MessageView(message);
    this.#views.set(message.id, view);
    view.update(message, this.#online);
    if (before === "streaming" && message.status !== "streaming") this.#announce(message);
  }

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
    if (text) this.#tell(text);
  }

  // A screen reader hears an answer once, when it is whole, and not each of its tokens.
  #announce(message) {
    this.#tell(`Assistant: ${textOf(message)} ${answerNotice(message)}`);
  }

  #tell(text) {
    const said = document.createElement("p");
    said.textContent = text;
    this.#announcer.replaceChildren(said);
  }
}
