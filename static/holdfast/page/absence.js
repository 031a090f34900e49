// How long a person was away, so that a return after a while can say what it brought, once, and a blip nothing.
import { GRACE_MS } from "../connection-words.js";

export class Absence {
  #holdfast;
  /** When the last good connection was lost, ms; null while there is one. The first one is no return. */
  #lostAt = Infinity;
  #hiddenAt = Date.now(); // a tab may be opened behind others
  /** How long the latest absence was, ms; 0 once it has been told of. */
  #away = 0;

  /** @param {import("../index.js").Holdfast} holdfast */
  constructor(holdfast) {
    this.#holdfast = holdfast;
    holdfast.addEventListener("connection", () => this.#changed());
    document.addEventListener("visibilitychange", () => this.#visible());
  }

  /** @returns {boolean} whether there was one, long enough to be noticed, that nobody has asked about yet */
  end() {
    const noticed = this.#away >= GRACE_MS;
    if (noticed) this.#away = 0;
    return noticed;
  }

  #changed() {
    const connected = this.#holdfast.connection.state === "connected";
    if (connected && this.#lostAt !== null) this.#away = Date.now() - this.#lostAt;
    this.#lostAt = connected ? null : (this.#lostAt ?? Date.now());
  }

  // A page that comes to the front again was away, even if its connection is replaced within the grace.
  #visible() {
    if (document.hidden) this.#hiddenAt = Date.now();
    else this.#away = Date.now() - this.#hiddenAt;
  }
}
