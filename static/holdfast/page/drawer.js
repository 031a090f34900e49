// Drawer with the list of conversations, on narrow screens; on wide ones the list is always shown.

export class Drawer {
  #drawer = document.getElementById("sidebar");
  #scrim = document.getElementById("scrim");
  #behind = document.querySelectorAll("#main, #lab");
  #opener = document.getElementById("drawer-open");

  constructor() {
    this.#opener.addEventListener("click", () => this.#set(true));
    document.getElementById("drawer-close").addEventListener("click", () => this.close());
    this.#scrim.addEventListener("click", () => this.close());
    document.addEventListener("keydown", (event) => this.#key(event));
    matchMedia("(min-width: 48rem)").addEventListener("change", () => this.#set(false));
  }

  get open() {
    return this.#drawer.classList.contains("open");
  }

  close() {
    if (!this.open) return;
    this.#set(false);
    this.#opener.focus();
  }

  #key(event) {
    // A field or dialog in the drawer handles Escape first.
    if (event.key === "Escape" && !event.defaultPrevented) this.close();
  }

  #set(open) {
    this.#drawer.classList.toggle("open", open);
    this.#opener.setAttribute("aria-expanded", String(open));
    this.#scrim.hidden = !open;
    for (const element of this.#behind) element.inert = open;
    if (open) document.getElementById("drawer-close").focus();
  }
}
