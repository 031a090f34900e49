// Line above unseen content: text written since the user left the tab or scrolled away from the end.

export class UnreadLine {
  #list;
  #line = document.createElement("div");
  /** The last content in view. @type {{message: string|null, blocks: number, text: string}|null} */
  #left = null;

  /** @param {HTMLElement} list of messages */
  constructor(list) {
    this.#list = list;
    this.#line.className = "unread-line";
    this.#line.dataset.testid = "unread-line";
    this.#line.setAttribute("role", "separator");
    this.#line.setAttribute("aria-label", "New");
  }

  get shown() {
    return this.#line.isConnected;
  }

  /** Mark the current end as seen, when the user leaves. */
  leave() {
    this.clear();
    const message = this.#list.lastElementChild;
    const blocks = message ? blocksOf(message) : [];
    const text = blocks.at(-1)?.textContent ?? "";
    this.#left = { message: message?.dataset.id ?? null, blocks: blocks.length, text };
  }

  /** Draw the line if there is new content; call after the list has changed. */
  draw() {
    if (this.#left === null || this.shown) return;
    const first = this.#firstNew(this.#left);
    if (first?.matches("li")) first.prepend(this.#line);
    else first?.before(this.#line);
  }

  /** Remove the line: everything is seen. */
  clear() {
    this.#left = null;
    this.#line.remove();
  }

  /** @returns {Element|null|undefined} the first new message, or new block of a message seen in part */
  #firstNew({ message: id, blocks: seen, text }) {
    if (id === null) return this.#list.firstElementChild;
    const message = [...this.#list.children].find(({ dataset }) => dataset.id === id);
    const blocks = message ? blocksOf(message) : [];
    // A block that has grown counts as new as a whole.
    const next = blocks[seen - 1]?.textContent === text ? seen : seen - 1;
    if (blocks.length > Math.max(next, 0)) return next > 0 ? blocks[next] : message;
    return message?.nextElementSibling;
  }
}

/** @param {Element} message @returns {Element[]} its parts; for texts, their paragraphs, tables and so on */
function blocksOf(message) {
  const parts = [...message.querySelectorAll(".message-body > .part")];
  return parts.flatMap((part) => (part.classList.contains("prose") ? [...part.children] : [part]));
}
