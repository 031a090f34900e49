// Which conversation the address names: /s/<id>/ names one, / none yet.

const SESSION_PATH = /^\/s\/([A-Za-z0-9_-]+)\/$/;

/** @param {string} path @returns {string|null} */
export function sessionIdOf(path) {
  return SESSION_PATH.exec(path)?.[1] ?? null;
}

/** @param {string|null} id @returns {string} */
export function pathOf(id) {
  return id === null ? "/" : `/s/${id}/`;
}

/** @returns {string} where to sign in, to come back to what is on show now */
export function signInPath() {
  return `${document.body.dataset.loginUrl}?next=${encodeURIComponent(location.pathname)}`;
}

/** Dispatches "change" whenever the address names another conversation. */
export class Router extends EventTarget {
  #id = sessionIdOf(location.pathname);

  constructor() {
    super();
    addEventListener("popstate", () => this.#set(sessionIdOf(location.pathname)));
  }

  get sessionId() {
    return this.#id;
  }

  /** @param {string|null} id */
  open(id) {
    if (id === this.#id) return;
    history.pushState(null, "", pathOf(id));
    this.#set(id);
  }

  #set(id) {
    if (id === this.#id) return;
    this.#id = id;
    this.dispatchEvent(new Event("change"));
  }
}
