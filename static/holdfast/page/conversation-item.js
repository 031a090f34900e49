// One conversation of the list, and the field to rename it.
import { addresses } from "./addresses.js";
import { icon } from "./icon.js";

const UNTITLED = "Untitled conversation";
const TITLE_LENGTH = 200; // the server's limit

export class ConversationItem {
  #link = create("a", "conversation-link");
  #title = create("span", "conversation-title");
  #state = create("span", "conversation-state");
  #rename = iconButton("rename", "rename");
  #delete = iconButton("delete", "delete");
  #actions;
  #current = false;
  #unread = false;

  /**
   * @param {object} session from the API
   * @param {{open: (event: MouseEvent) => void, rename: (title: string) => void, remove: () => void}} actions
   */
  constructor(session, actions) {
    this.#actions = actions;
    this.element = create("li", "conversation");
    this.element.dataset.testid = "conversation";
    this.element.dataset.id = session.id;
    this.#title.dir = "auto";
    this.#link.href = addresses.pathOf(session.id);
    this.#link.append(this.#title, this.#state);
    this.#link.addEventListener("click", actions.open);
    this.#rename.addEventListener("click", () => this.#edit());
    this.#delete.addEventListener("click", actions.remove);
    this.element.append(this.#link, this.#rename, this.#delete);
    this.update(session);
  }

  get id() {
    return this.session.id;
  }

  /** @param {object} session */
  update(session) {
    const answered = this.session?.streaming && !session.streaming;
    this.session = session;
    const title = session.title || UNTITLED;
    this.#title.textContent = title;
    this.#link.title = keptUntil(session.expires_at);
    this.#rename.setAttribute("aria-label", `Rename ${title}`);
    this.#delete.setAttribute("aria-label", `Delete ${title}`);
    if (answered && !this.#current) this.#unread = true;
    this.#showState();
  }

  /** @param {boolean} unread whether it has an unseen answer */
  set unread(unread) {
    this.#unread = unread;
    this.#showState();
  }

  #showState() {
    const { streaming } = this.session;
    const unread = this.#unread && !streaming;
    const text = streaming ? "Answering…" : unread ? "New answer" : "";
    if (this.#state.textContent !== text) this.#state.textContent = text;
    this.element.classList.toggle("unread", unread);
  }

  /** @param {boolean} current whether it is shown */
  set current(current) {
    this.#current = current;
    if (current) this.unread = false;
    if (current) this.#link.setAttribute("aria-current", "page");
    else this.#link.removeAttribute("aria-current");
  }

  #edit() {
    const field = create("input", "conversation-rename");
    field.value = this.session.title;
    field.dir = "auto";
    field.maxLength = TITLE_LENGTH;
    field.setAttribute("aria-label", "Name of the conversation");
    field.dataset.testid = "rename-field";
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.#finish(field, field.value.trim());
      if (event.key === "Escape") this.#finish(field, "");
      if (event.key === "Enter" || event.key === "Escape") event.preventDefault();
    });
    field.addEventListener("blur", () => this.#finish(field, field.value.trim()));
    this.element.classList.add("renaming");
    this.element.prepend(field);
    field.select();
  }

  // Removing the field blurs it, which calls this again: only the first call counts.
  #finish(field, title) {
    if (!this.element.classList.contains("renaming")) return;
    this.element.classList.remove("renaming");
    const focused = document.activeElement === field;
    field.remove();
    if (focused) this.#rename.focus();
    if (title && title !== this.session.title) this.#actions.rename(title);
  }
}

/** @param {number|null} expiresAt ms @returns {string} */
function keptUntil(expiresAt) {
  if (!expiresAt) return "";
  return `Kept until ${new Date(expiresAt).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })}`;
}

function iconButton(name, testid) {
  const button = create("button", "icon-button");
  button.type = "button";
  button.dataset.testid = testid;
  button.append(icon(name));
  return button;
}

function create(tag, className) {
  const element = document.createElement(tag);
  element.className = className;
  return element;
}
