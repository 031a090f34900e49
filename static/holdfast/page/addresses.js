// Addresses of the page's server, all below the one where the project includes Holdfast's.

const SESSION_PATH = /^s\/([A-Za-z0-9_-]+)\/$/;

export class Addresses {
  #base;

  /** @param {string} base path of the page without a conversation, with its last slash */
  constructor(base) {
    this.#base = base;
    this.api = `${base}api/`;
    this.webSocket = `${base}ws/`;
    this.restart = `${base}lab/restart/`;
  }

  /** @param {string|null} id of a conversation, null for a new one @returns {string} path of the page that shows it */
  pathOf(id) {
    return id === null ? this.#base : `${this.#base}s/${id}/`;
  }

  /** @param {string} path @returns {string|null} id of the conversation that the page at this path shows */
  sessionIdOf(path) {
    if (!path.startsWith(this.#base)) return null;
    return SESSION_PATH.exec(path.slice(this.#base.length))?.[1] ?? null;
  }
}

// Without a document, as in unit tests, there is no page below a prefix.
export const addresses = new Addresses(globalThis.document?.body?.dataset.base ?? "/");
