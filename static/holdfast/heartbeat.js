// Whether the server is still there: a recorder of frames, and a question. Any frame is life.

// The server's heartbeat may be late by this much on a slow link.
export const MARGIN_MS = 5_000;

export class Heartbeat {
  #last;

  /** @param {number} intervalMs how often the server promised a frame @param {number} now ms */
  constructor(intervalMs, now) {
    this.staleAfterMs = 2 * intervalMs + MARGIN_MS;
    this.#last = now;
  }

  /** @param {number} now ms */
  recordFrame(now) {
    this.#last = now;
  }

  get deadline() {
    return this.#last + this.staleAfterMs;
  }

  /** @param {number} now ms */
  isStale(now) {
    // A clock that was set back would hide silence for as long as it was set back by.
    if (now < this.#last) this.#last = now;
    return now >= this.deadline;
  }
}
