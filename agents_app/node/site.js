// Requests to a site, each repeated until it is answered.

import { setTimeout as sleep } from "node:timers/promises";

import { HoldfastError } from "./errors.js";

const ANSWER_MS = 30_000; // until a request is answered; above the longest poll
const PATIENCE_MS = 300_000; // how long a request is repeated
const RETRY_FIRST_MS = 100;
const RETRY_MOST_MS = 3_000; // a site that has just come back counts a lease from its start: be there within it
const TOKEN_LIFE = 0.7; // of a token's life, after which it is replaced by a fresh one

/** @typedef {Record<string, any>} Frame */

/** A site, as one worker reaches it. */
export class Site {
  #url;
  #source;
  #token = "";
  #freshAt = 0; // when another token is needed

  /** @param {string} url @param {string | (() => string | Promise<string>)} token */
  constructor(url, token) {
    this.#url = url.replace(/\/+$/, "");
    this.#source = token;
  }

  /**
   * Send a request until it is answered. Rejects with HoldfastError, or with the signal's reason.
   * @param {string} path
   * @param {Frame} body the same at each repeat
   * @param {AbortSignal} [signal]
   * @returns {Promise<Frame>}
   */
  async ask(path, body, signal) {
    const text = JSON.stringify(body);
    const end = performance.now() + PATIENCE_MS;
    for (let pauseMs = RETRY_FIRST_MS; ; pauseMs = Math.min(2 * pauseMs, RETRY_MOST_MS)) {
      const problem = await this.#once(path, text, signal).then(
        (frame) => ({ frame }),
        (error) => ({ error }),
      );
      if ("frame" in problem) return problem.frame;
      signal?.throwIfAborted();
      if (!isPassing(problem.error)) throw problem.error;
      if (performance.now() > end) throw new HoldfastError("storage_unavailable", `The site can't be reached: ${problem.error.message}`);
      await sleep(pauseMs * (0.5 + Math.random() / 2), undefined, { signal });
    }
  }

  /** @param {string} path @param {string} text @param {AbortSignal} [signal] @returns {Promise<Frame>} */
  async #once(path, text, signal) {
    const limit = AbortSignal.timeout(ANSWER_MS);
    const response = await fetch(this.#url + path, {
      method: "POST",
      headers: { authorization: `Bearer ${await this.#fresh()}`, "content-type": "application/json" },
      body: text,
      signal: signal ? AbortSignal.any([limit, signal]) : limit,
    });
    const answer = await response.text();
    if (response.status === 204) return {};
    const frame = parsed(answer); // a proxy's own error page is none
    if (response.ok && frame) return frame;
    if (!frame?.code) throw new Passing(`HTTP ${response.status}`);
    const expired = frame.code === "token_expired" && typeof this.#source === "function";
    if (expired) this.#freshAt = 0;
    if (expired || frame.retryable) throw new Passing(frame.message);
    throw new HoldfastError(frame.code, frame.message);
  }

  async #fresh() {
    if (typeof this.#source === "string") return this.#source;
    if (Date.now() < this.#freshAt) return this.#token;
    try {
      this.#token = await this.#source();
      const { exp } = JSON.parse(Buffer.from(this.#token.split(".")[1], "base64url").toString());
      this.#freshAt = Date.now() + TOKEN_LIFE * (exp * 1000 - Date.now());
    } catch (error) {
      throw new Passing(`The worker's function for tokens failed: ${error}`); // the application's own
    }
    return this.#token;
  }
}

class Passing extends Error {}

/** @param {Error} error */
function isPassing(error) {
  return error instanceof Passing || error instanceof TypeError || error.name === "TimeoutError" || error.name === "AbortError";
}

/** @param {string} text @returns {Frame | null} */
function parsed(text) {
  try {
    const value = JSON.parse(text);
    return value && typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}
