// Keeps the newest text in sight while the reader is at the end, and never moves a reader who has scrolled up.

// A reader this close to the end is at the end, in CSS pixels.
const NEAR_PX = 24;

export class ScrollFollower extends EventTarget {
  #pane;
  #top = 0;
  #height = 0;
  following = true;

  /** @param {HTMLElement} pane the element that scrolls */
  constructor(pane) {
    super();
    this.#pane = pane;
    pane.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    // A part that the reader unfolds may push the end away: that is not a wish to jump there.
    pane.addEventListener("toggle", () => this.#scrolled(), true);
    new ResizeObserver(() => this.settle()).observe(pane);
  }

  /** Go to the end and stay there. */
  jump() {
    this.#set(true);
    this.settle();
  }

  /** Call after the content has grown. */
  settle() {
    if (this.following) this.#pane.scrollTop = this.#pane.scrollHeight;
    this.#remember();
  }

  /** Keep what the reader sees in its place while `change` adds content above it. @param {() => void} change */
  keepPlace(change) {
    const fromEnd = this.#pane.scrollHeight - this.#pane.scrollTop;
    change();
    this.#pane.scrollTop = this.#pane.scrollHeight - fromEnd;
    this.#remember();
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#pane;
    const fromEnd = scrollHeight - scrollTop - clientHeight;
    // Content that shrinks moves the pane up too; only a reader does so while it doesn't.
    const movedUp = scrollTop < this.#top && scrollHeight >= this.#height;
    this.#set(fromEnd <= (movedUp ? 1 : NEAR_PX));
    this.#remember();
  }

  #remember() {
    this.#top = this.#pane.scrollTop;
    this.#height = this.#pane.scrollHeight;
  }

  #set(following) {
    if (this.following === following) return;
    this.following = following;
    this.dispatchEvent(new Event("change"));
  }
}
