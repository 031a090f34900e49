// Liveness of the connection: any frame counts as a heartbeat.

// Allowance for a late heartbeat on a slow network.
export const MARGIN_MS = 5_000;

export class Heartbeat {
  #last;

  /** @param {number} intervalMs promised interval of heartbeats @param {number} now ms */
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
    // A clock that was set back would hide silence for that long.
    if (now < this.#last) this.#last = now;
    return now >= this.deadline;
  }
}
