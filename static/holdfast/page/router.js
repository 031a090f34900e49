// Router: the conversation in the page's address.
import { addresses } from "./addresses.js";

/** @returns {string} address of the sign-in page, which returns to the current one */
export function signInPath() {
  return `${document.body.dataset.loginUrl}?next=${encodeURIComponent(location.pathname)}`;
}

/** Dispatches "change" when the address names another conversation. */
export class Router extends EventTarget {
  #id = addresses.sessionIdOf(location.pathname);

  constructor() {
    super();
    addEventListener("popstate", () => this.#set(addresses.sessionIdOf(location.pathname)));
  }

  get sessionId() {
    return this.#id;
  }

  /** @param {string|null} id */
  open(id) {
    if (id === this.#id) return;
    history.pushState(null, "", addresses.pathOf(id));
    this.#set(id);
  }

  #set(id) {
    if (id === this.#id) return;
    this.#id = id;
    this.dispatchEvent(new Event("change"));
  }
}
