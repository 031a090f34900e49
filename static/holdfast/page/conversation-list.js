// List of conversations: open, rename, delete.
import { sentence } from "../connection-words.js";
import { deleteSession, listSessions, renameSession } from "./api.js";
import { confirmDelete } from "./confirm-dialog.js";
import { ConversationItem } from "./conversation-item.js";

// Interval of refreshing while an agent writes in a conversation that is not shown.
const POLL_MS = 10_000;

/**
 * Dispatches "open" with `detail.id` (null for a new conversation), "deleted" with `detail.id`, and "change" when a
 * title may have changed.
 */
export class ConversationList extends EventTarget {
  #list = document.getElementById("conversation-list");
  #note = document.getElementById("conversation-note");
  #more = document.getElementById("conversation-more");
  /** @type {Map<string, ConversationItem>} */
  #items = new Map();
  #next = null;
  #poll = 0;
  /** @type {string|null} */
  #current = null;

  constructor() {
    super();
    document.getElementById("new-conversation").addEventListener("click", (event) => this.#open(event, null));
    this.#more.addEventListener("click", () => this.#load(this.#next));
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh());
  }

  /** Reload the newest page. */
  refresh() {
    clearTimeout(this.#poll);
    // Redrawing the list would remove the field in which a name is being typed.
    const renaming = this.#list.querySelector(".renaming") !== null;
    return renaming ? this.#pollLater() : this.#load(null);
  }

  #pollLater() {
    const answering = [...this.#items.values()].some(({ id, session }) => session.streaming && id !== this.#current);
    if (answering && !document.hidden) this.#poll = setTimeout(() => this.refresh(), POLL_MS);
  }

  /** @param {string|null} id of the conversation shown */
  setCurrent(id) {
    this.#current = id;
    for (const item of this.#items.values()) item.current = item.id === id;
    clearTimeout(this.#poll);
    this.#pollLater();
  }

  /** @param {string} id @returns {object|undefined} its latest state from the API */
  get(id) {
    return this.#items.get(id)?.session;
  }

  /** @param {object} session from the API; a new one goes to the top */
  add(session) {
    const known = this.#items.get(session.id);
    if (known) return known.update(session);
    const item = this.#make(session);
    this.#list.prepend(item.element);
    this.#say();
  }

  /** @param {string} id @param {string} title */
  setTitle(id, title) {
    const item = this.#items.get(id);
    if (!item) return;
    item.update({ ...item.session, title });
    this.dispatchEvent(new Event("change"));
  }

  /** @param {string} id @param {boolean} answering whether an agent is writing in it */
  setAnswering(id, answering) {
    const item = this.#items.get(id);
    if (item && item.session.streaming !== answering) item.update({ ...item.session, streaming: answering });
  }

  /** @param {string} id @param {boolean} unread whether it has an unseen answer */
  setUnread(id, unread) {
    const item = this.#items.get(id);
    if (item) item.unread = unread;
  }

  async #load(next) {
    try {
      const page = await listSessions(next);
      this.#show(page.results, next !== null);
      this.#next = page.next;
      this.#more.hidden = !page.next;
      this.#say();
      this.dispatchEvent(new Event("change"));
    } catch (error) {
      this.#say(`Conversations can't be loaded: ${sentence(error.message)}`);
    }
    this.#pollLater();
  }

  #show(sessions, append) {
    if (!append) this.#forgetOthers(sessions);
    let place = append ? null : this.#list.firstElementChild;
    for (const session of sessions) {
      const item = this.#items.get(session.id) ?? this.#make(session);
      item.update(session);
      // Moving an element would take the focus from it, while its name may be being typed.
      if (place === item.element) place = place.nextElementSibling;
      else this.#list.insertBefore(item.element, place);
    }
  }

  #forgetOthers(sessions) {
    const ids = new Set(sessions.map(({ id }) => id));
    for (const id of [...this.#items.keys()]) if (!ids.has(id)) this.#remove(id);
  }

  #make(session) {
    const item = new ConversationItem(session, {
      open: (event) => this.#open(event, session.id),
      rename: (title) => this.#rename(session.id, title),
      remove: () => this.#delete(session.id),
    });
    item.current = session.id === this.#current;
    this.#items.set(session.id, item);
    return item;
  }

  #remove(id) {
    this.#items.get(id)?.element.remove();
    this.#items.delete(id);
  }

  #open(event, id) {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return; // the browser opens a tab
    event.preventDefault();
    this.dispatchEvent(new CustomEvent("open", { detail: { id } }));
  }

  async #rename(id, title) {
    const before = this.get(id).title;
    this.setTitle(id, title);
    try {
      await renameSession(id, title);
      this.#say();
    } catch (error) {
      this.setTitle(id, before);
      this.#say(`Not renamed: ${sentence(error.message)}`);
    }
  }

  async #delete(id) {
    if (!(await confirmDelete(this.get(id).title))) return;
    try {
      await deleteSession(id);
    } catch (error) {
      if (error.status !== 404) return this.#say(`Not deleted: ${sentence(error.message)}`);
    }
    this.#remove(id);
    this.#say();
    this.dispatchEvent(new CustomEvent("deleted", { detail: { id } }));
  }

  #say(text = this.#items.size ? "" : "No conversations yet.") {
    this.#note.textContent = text;
    this.#note.hidden = text === "";
  }
}
