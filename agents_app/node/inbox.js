// What people say and decide during one run.

/** @typedef {{id: string, kind: string, actor: string, target: string, payload: Record<string, any>, issued_by?: string}} Signal */

export class Inbox {
  /** @type {Set<string>} ids of the signals that have come: each may be told again */
  heard = new Set();
  /** @type {Signal[]} */
  #steers = [];
  /** @type {Map<string, Signal | null>} by target; null: it has expired */
  #answers = new Map();
  /** @type {Map<string, () => void>} */
  #waiting = new Map();

  /** @param {Signal} signal */
  put(signal) {
    if (this.heard.has(signal.id)) return;
    this.heard.add(signal.id);
    if (signal.kind === "steer") this.#steers.push(signal);
    else this.#settle(signal.target, signal);
  }

  /** @param {string} approval */
  expire(approval) {
    this.#settle(approval, null);
  }

  takeSteers() {
    return this.#steers.splice(0);
  }

  /**
   * Wait for the signal about a target; undefined when the time is up, null when it has expired at the site.
   * @param {string} target @param {number | null} timeoutMs @param {AbortSignal} stop rejects with its reason
   * @returns {Promise<Signal | null | undefined>}
   */
  async waitFor(target, timeoutMs, stop) {
    if (!this.#answers.has(target)) await this.#settled(target, timeoutMs, stop);
    stop.throwIfAborted();
    return this.#answers.get(target);
  }

  /** @param {string} target @param {number | null} timeoutMs @param {AbortSignal} stop */
  async #settled(target, timeoutMs, stop) {
    /** @type {NodeJS.Timeout | undefined} */
    let timer;
    await new Promise((resolve) => {
      const done = () => resolve(null);
      this.#waiting.set(target, done);
      stop.addEventListener("abort", done, { once: true });
      if (timeoutMs !== null) timer = setTimeout(done, Math.min(timeoutMs, 2 ** 31 - 1));
    });
    clearTimeout(timer);
    this.#waiting.delete(target);
  }

  /** @param {string} target @param {Signal | null} signal */
  #settle(target, signal) {
    if (!this.#answers.has(target)) this.#answers.set(target, signal);
    this.#waiting.get(target)?.();
  }
}
