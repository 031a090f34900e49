// The HTTP transports behind a dynamic import: most pages have a WebSocket and never need them.

import { ABNORMAL } from "./socket.js";

/** @typedef {import("./socket.js").Transport} Transport */

/** An HTTP transport whose code is loaded when it is opened. @implements {Transport} */
export class LazyHttpTransport {
  /** @type {Transport["onframe"]} */
  onframe = () => {};
  /** @type {Transport["onclose"]} */
  onclose = () => {};
  #options;
  /** @type {Transport|null} null until its code is loaded */
  #loaded = null;
  #closed = false;

  /** @param {"stream"|"poll"} name @param {import("./http.js").HttpOptions} options */
  constructor(name, options) {
    this.name = name;
    this.#options = options;
  }

  async open() {
    try {
      const { HttpTransport } = await loadHttp();
      if (this.#closed) return;
      const loaded = (this.#loaded = new HttpTransport(this.name, this.#options));
      loaded.onframe = (frame, bytes) => this.onframe(frame, bytes);
      loaded.onclose = (code) => this.onclose(code);
      loaded.open();
    } catch {
      if (!this.#closed) this.onclose(ABNORMAL);
    }
  }

  /** @param {import("../protocol.js").Frame} frame */
  send(frame) {
    return this.#loaded?.send(frame) ?? false;
  }

  close() {
    this.#closed = true;
    if (this.#loaded) this.#loaded.close();
    else queueMicrotask(() => this.onclose(1000));
  }

  /** @param {boolean} background */
  setBackground(background) {
    this.#loaded?.setBackground(background);
  }

  flush() {
    this.#loaded?.flush();
  }
}

/** Load the code of the HTTP transports. A later call tries again what has failed. */
export async function loadHttp() {
  return await import("./http.js");
}
