// The bearer token, cached: fetched from the page's provider when needed, and renewed before it expires.

import { orNull } from "./or-null.js";

// Lead time of the renewal, for slow providers and differing clocks; at most half of the token's lifetime.
const EARLY_MS = 30_000;

/** @typedef {() => string|Promise<string>} TokenProvider */

export class Token {
  #provider;
  #clock;
  #token = "";
  /** Time of the renewal, ms. */
  renewAt = Infinity;

  /** @param {TokenProvider|null} provider null to authenticate by cookies @param {import("./timers.js").Clock} clock */
  constructor(provider, clock) {
    this.#provider = provider;
    this.#clock = clock;
  }

  get isUsed() {
    return this.#provider !== null;
  }

  /** Name of those who may see the same: whom the token acts as, and its sessions; empty with cookies. */
  get holder() {
    const { sub, sessions } = claimsOf(this.#token);
    return this.#token && JSON.stringify([sub, sessions]);
  }

  /** @returns {Promise<string>} a token that is valid for a while; rejects as the provider does */
  async fresh() {
    const provider = /** @type {TokenProvider} */ (this.#provider);
    if (!this.#token || this.#clock.now() >= this.renewAt) this.#store(await provider());
    return this.#token;
  }

  /** Drop the token: the server refused it. */
  forget() {
    this.#token = "";
  }

  /** @param {string} token */
  #store(token) {
    const life = lifeOf(token, this.#clock.now());
    this.#token = token;
    this.renewAt = this.#clock.now() + life - Math.min(EARLY_MS, life / 2);
  }
}

/**
 * Return how long a token is still valid, ms; Infinity without `exp`. This device's clock may be wrong: a token is not
 * taken for older than expired, nor for younger than new.
 * @param {string} token a JWT @param {number} now ms
 */
function lifeOf(token, now) {
  const { exp, iat } = claimsOf(token);
  if (typeof exp !== "number") return Infinity;
  const left = exp * 1000 - now;
  if (typeof iat !== "number") return left;
  const whole = (exp - iat) * 1000;
  return left > 0 ? Math.min(left, whole) : whole;
}

/** @param {string} token @returns {{exp?: unknown, iat?: unknown, sub?: unknown, sessions?: unknown}} */
function claimsOf(token) {
  const claims = token.split(".")[1] ?? "";
  return orNull(() => JSON.parse(atob(claims.replaceAll("-", "+").replaceAll("_", "/")))) ?? {};
}
