// A line above what a person hasn't seen: what was written since they left the tab, or its end.

export class UnreadLine {
  #list;
  #line = document.createElement("div");
  /** What was the last on show. @type {{message: string|null, blocks: number, text: string}|null} */
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

  /** The person leaves: the line will be below what is on show now. */
  leave() {
    this.clear();
    const message = this.#list.lastElementChild;
    const blocks = message ? blocksOf(message) : [];
    const text = blocks.at(-1)?.textContent ?? "";
    this.#left = { message: message?.dataset.id ?? null, blocks: blocks.length, text };
  }

  /** Draw it, if anything has come since they left. Call after the list has changed. */
  draw() {
    if (this.#left === null || this.shown) return;
    const first = this.#firstNew(this.#left);
    if (first?.matches("li")) first.prepend(this.#line);
    else first?.before(this.#line);
  }

  /** They have seen everything. */
  clear() {
    this.#left = null;
    this.#line.remove();
  }

  /** @returns {Element|null|undefined} a message, or the block of one that they had seen the beginning of */
  #firstNew({ message: id, blocks: seen, text }) {
    if (id === null) return this.#list.firstElementChild;
    const message = [...this.#list.children].find(({ dataset }) => dataset.id === id);
    const blocks = message ? blocksOf(message) : [];
    // A block that has grown is new as a whole: half of one can't be marked.
    const next = blocks[seen - 1]?.textContent === text ? seen : seen - 1;
    if (blocks.length > Math.max(next, 0)) return next > 0 ? blocks[next] : message;
    return message?.nextElementSibling;
  }
}

/** @param {Element} message @returns {Element[]} its parts, and of its texts the paragraphs, tables and so on */
function blocksOf(message) {
  const parts = [...message.querySelectorAll(".message-body > .part")];
  return parts.flatMap((part) => (part.classList.contains("prose") ? [...part.children] : [part]));
}
