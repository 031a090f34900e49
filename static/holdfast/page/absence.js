// Absence of the user: offline or with the page hidden. A longer one is followed by a note of what was missed, once.
import { GRACE_MS } from "../connection-words.js";
import { systemClock } from "../timers.js";

export class Absence {
  #holdfast;
  /** Loss of the last good connection, ms; null while connected. The first connection ends no absence. */
  #lostAt = Infinity;
  #hiddenAt = systemClock.now(); // a tab may be opened in the background
  /** Length of the latest absence, ms; 0 once reported. */
  #away = 0;

  /** @param {import("../index.js").Holdfast} holdfast */
  constructor(holdfast) {
    this.#holdfast = holdfast;
    holdfast.addEventListener("connection", () => this.#changed());
    document.addEventListener("visibilitychange", () => this.#visible());
  }

  /** @returns {boolean} whether a noticeable absence has ended that was not reported before */
  end() {
    const noticed = this.#away >= GRACE_MS;
    if (noticed) this.#away = 0;
    return noticed;
  }

  #changed() {
    const connected = this.#holdfast.connection.state === "connected";
    if (connected && this.#lostAt !== null) this.#away = systemClock.now() - this.#lostAt;
    this.#lostAt = connected ? null : (this.#lostAt ?? systemClock.now());
  }

  // A page that becomes visible was away, even if its connection is replaced within the grace period.
  #visible() {
    if (document.hidden) this.#hiddenAt = systemClock.now();
    else this.#away = systemClock.now() - this.#hiddenAt;
  }
}
