// The token by which a page acts where cookies don't say who it is: asked for when it is needed, and again in time.

import { orNull } from "./or-null.js";

// Before its end: time for another one to come, and for clocks that differ. Of a short life, half of it.
const EARLY_MS = 30_000;

/** @typedef {() => string|Promise<string>} TokenProvider */

export class Token {
  #provider;
  #clock;
  #token = "";
  /** When to have another one, ms. */
  renewAt = Infinity;

  /** @param {TokenProvider|null} provider null where cookies say who it is @param {import("./timers.js").Clock} clock */
  constructor(provider, clock) {
    this.#provider = provider;
    this.#clock = clock;
  }

  get isUsed() {
    return this.#provider !== null;
  }

  /** @returns {Promise<string>} one that is good for a while; rejects as what gives it does */
  async fresh() {
    if (!this.#token || this.#clock.now() >= this.renewAt) this.#store(await /** @type {TokenProvider} */ (this.#provider)());
    return this.#token;
  }

  /** It counts no more. */
  forget() {
    this.#token = "";
  }

  /** @param {string} token */
  #store(token) {
    const life = expiry(token) - this.#clock.now();
    this.#token = token;
    this.renewAt = this.#clock.now() + life - Math.min(EARLY_MS, life / 2);
  }
}

/** @param {string} token a JWT @returns {number} ms; Infinity when it doesn't say */
function expiry(token) {
  const claims = token.split(".")[1] ?? "";
  return orNull(() => JSON.parse(atob(claims.replaceAll("-", "+").replaceAll("_", "/"))).exp * 1000) || Infinity;
}
