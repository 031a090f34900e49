// The router: the conversation that the page's address names, and the way to another.
import { addresses } from "./addresses.js";

/** @returns {string} where to sign in, to come back to what is on show now */
export function signInPath() {
  return `${document.body.dataset.loginUrl}?next=${encodeURIComponent(location.pathname)}`;
}

/** Dispatches "change" whenever the address names another conversation. */
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
