// Autoscroll: keeps the end in view while the user is there, and never moves a user who has scrolled up.

// Distance that counts as the end, in CSS pixels.
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
    // Unfolding a part may push the end away, and must not scroll there.
    pane.addEventListener("toggle", () => this.#scrolled(), true);
    new ResizeObserver(() => this.settle()).observe(pane);
  }

  /** Scroll to the end and follow it. */
  jump() {
    this.#set(true);
    this.settle();
  }

  /** Follow the end after the content has grown. */
  settle() {
    if (this.following) this.#pane.scrollTop = this.#pane.scrollHeight;
    this.#remember();
  }

  /** Keep the visible content in place while `change` adds content above it. @param {() => void} change */
  keepPlace(change) {
    const fromEnd = this.#pane.scrollHeight - this.#pane.scrollTop;
    change();
    this.#pane.scrollTop = this.#pane.scrollHeight - fromEnd;
    this.#remember();
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#pane;
    const fromEnd = scrollHeight - scrollTop - clientHeight;
    // Shrinking content also moves the pane up; if it has not shrunk, the user did.
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
