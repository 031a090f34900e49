// Requests to a site, each repeated until it is answered.

import { setTimeout as sleep } from "node:timers/promises";

import { HoldfastError } from "./errors.js";

const ANSWER_MS = 20_000; // until a request is answered; afterwards it counts as lost
const PATIENCE_MS = 300_000; // how long a request is repeated
const RETRY_FIRST_MS = 200;
const RETRY_MOST_MS = 3_000; // a site that has just come back counts a lease from its start: be there within it
const TOKEN_LIFE = 0.7; // of a token's life, after which it is replaced by a fresh one

/** @typedef {Record<string, any>} Frame */
/** @typedef {{signal?: AbortSignal, patienceMs?: number, answerMs?: number}} Options */

/** A site, as one worker reaches it. */
export class Site {
  #url;
  #source;
  #token = "";
  #freshAt = 0; // when another token is needed
  /** @type {Promise<string> | null} */
  #freshening = null;
  #isAway = false; // and the log says so
  /** @type {Set<AbortController>} requests under way */
  #ongoing = new Set();
  #isClosed = false;

  /** @param {string} url @param {string | (() => string | Promise<string>)} token */
  constructor(url, token) {
    if (!/^https?:$/.test(new URL(url).protocol)) throw new TypeError(`A site's url begins with http:// or https://, not as ${url}.`);
    if (!token) throw new TypeError("A worker needs a token: the text of one with the scope work, or a function that returns it.");
    this.#url = url.replace(/\/+$/, "");
    this.#source = token;
  }

  /**
   * Send a request until it is answered. Rejects with HoldfastError, or with the signal's reason.
   * @param {string} path
   * @param {Frame} body the same at each repeat
   * @param {Options} [options] patienceMs: how long it is repeated; answerMs: how long each waits for its answer
   * @returns {Promise<Frame>}
   */
  async ask(path, body, { signal, patienceMs = PATIENCE_MS, answerMs = ANSWER_MS } = {}) {
    const text = JSON.stringify(body);
    const end = performance.now() + patienceMs;
    for (let pauseMs = RETRY_FIRST_MS; ; pauseMs = Math.min(2 * pauseMs, RETRY_MOST_MS)) {
      try {
        const frame = await this.#once(path, text, answerMs, signal);
        this.#note("");
        return frame;
      } catch (error) {
        signal?.throwIfAborted();
        if (this.#isClosed) throw new HoldfastError("storage_unavailable", "The worker has ended.");
        const problem = passing(/** @type {Error} */ (error));
        if (problem.message) this.#note(problem.message); // else the next one has a fresh token
        if (performance.now() > end) throw new HoldfastError("storage_unavailable", `The site can't be reached: ${problem.message}`);
        await sleep(problem.afterMs + Math.random() * pauseMs, undefined, { signal });
      }
    }
  }

  /** End the requests under way, and repeat none. */
  close() {
    this.#isClosed = true;
    for (const request of this.#ongoing) request.abort();
  }

  /**
   * Send a request once. AbortSignal.any would do, and keep something of each request as long as its signals live.
   * @param {string} path
   * @param {string} text
   * @param {number} answerMs
   * @param {AbortSignal} [signal]
   */
  async #once(path, text, answerMs, signal) {
    const request = new AbortController();
    const abort = () => request.abort();
    const timer = setTimeout(abort, answerMs);
    signal?.addEventListener("abort", abort);
    this.#ongoing.add(request);
    try {
      return await this.#fetch(path, text, request.signal);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      this.#ongoing.delete(request);
    }
  }

  /** @param {string} path @param {string} text @param {AbortSignal} signal @returns {Promise<Frame>} */
  async #fetch(path, text, signal) {
    const response = await fetch(this.#url + path, {
      method: "POST",
      headers: { authorization: `Bearer ${await this.#fresh()}`, "content-type": "application/json" },
      body: text,
      redirect: "manual", // followed, it would be a GET
      signal,
    });
    const answer = await response.text();
    if (response.status === 204) return {};
    const frame = parsed(answer); // a proxy's own error page is none
    if (response.ok && frame) return frame;
    if (!frame?.code) throw new Passing(told(response));
    const expired = frame.code === "token_expired" && typeof this.#source === "function";
    if (expired) this.#freshAt = 0;
    if (expired) throw new Passing("");
    if (frame.retryable) throw new Passing(frame.message, frame.retry_after_ms);
    throw new HoldfastError(frame.code, frame.message);
  }

  /** Tell the log when the site goes and comes back. @param {string} problem empty if there is none */
  #note(problem) {
    if (this.#isAway === Boolean(problem)) return;
    this.#isAway = Boolean(problem);
    console.error(`holdfast-agent: ${this.#url} ${problem ? `doesn't answer: ${problem} Trying again until it does.` : "answers again."}`);
  }

  async #fresh() {
    if (typeof this.#source === "string") return this.#source;
    if (Date.now() < this.#freshAt) return this.#token;
    this.#freshening ??= this.#freshen(this.#source).finally(() => (this.#freshening = null));
    return await this.#freshening;
  }

  /** @param {() => string | Promise<string>} source */
  async #freshen(source) {
    try {
      this.#token = await source();
      const { exp } = JSON.parse(Buffer.from(this.#token.split(".")[1], "base64url").toString());
      this.#freshAt = Date.now() + TOKEN_LIFE * (exp * 1000 - Date.now());
    } catch (error) {
      throw new Passing(`The worker's function for tokens failed: ${error}.`); // the application's own
    }
    return this.#token;
  }
}

/** A failure after which the request is sent again. */
class Passing extends Error {
  /** @param {string} message @param {number} [afterMs] before which it can't succeed */
  constructor(message, afterMs = 0) {
    super(message);
    this.afterMs = afterMs;
  }
}

/** Return a failure that passes; throw any other one. @param {Error} error @returns {Passing} */
function passing(error) {
  if (error instanceof Passing) return error;
  if (error.name === "AbortError") return new Passing("It takes too long.");
  // fetch gives the network's failures a cause, and its caller's faults none.
  if (error instanceof TypeError && error.cause) return new Passing(`${/** @type {any} */ (error.cause).message || error.message}.`);
  throw error;
}

/** Return a refusal that isn't Holdfast's in words. @param {globalThis.Response} response */
function told({ status, headers }) {
  const location = headers.get("location");
  return location ? `It redirects to ${location}: give the worker that address as its url.` : `HTTP ${status}, which isn't Holdfast's.`;
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
