// The REST API: sessions and their history. Methods reject with an ApiError.

import { seeCookies } from "../cookies.js";
import { parseJson } from "../json.js";
import { csrfToken } from "./csrf-token.js";
import { orNull } from "../or-null.js";

/**
 * A session as the API lists it. Times are ms since 1970; `expires_at` is null if it is kept for good. `streaming`: a
 * response is in progress.
 * @typedef {object} SessionRecord
 * @property {string} id
 * @property {string|null} external_id
 * @property {string} title
 * @property {string} agent
 * @property {string} policy
 * @property {string} cursor
 * @property {boolean} streaming
 * @property {boolean} held
 * @property {number} created_at
 * @property {number} active_at
 * @property {number|null} expires_at
 */
/** @typedef {{results: SessionRecord[], next: string|null}} SessionPage */

export class ApiError extends Error {
  /**
   * @param {string} message for users
   * @param {number} status HTTP status, 0 without an answer
   * @param {string} code error code of the server
   * @param {boolean} retryable whether the same request may succeed later
   */
  constructor(message, status, code, retryable) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.retryable = retryable;
  }

  /** Whether the server could not be reached, so that the same request may succeed later. */
  get offline() {
    return this.status === 0;
  }
}

export class Rest {
  #options;

  /**
   * @param {object} options
   * @param {string} options.api address of the API, with the last slash
   * @param {typeof globalThis.fetch|null} options.fetch
   * @param {Window & typeof globalThis} options.page
   * @param {import("../token.js").Token} [options.token] without one, cookies authenticate
   */
  constructor(options) {
    this.#options = options;
  }

  /** @param {string|null} [next] `next` of the page before @returns {Promise<SessionPage>} sessions, newest first */
  listSessions(next) {
    return this.request("GET", next ?? "sessions/");
  }

  /** @param {object} [fields] @returns {Promise<SessionRecord>} */
  createSession(fields = {}) {
    return this.request("POST", "sessions/", fields);
  }

  /**
   * @param {string} id of the session
   * @param {{before: number, limit: number, replaced: boolean}} page `before` is a message's first serial
   * @returns {Promise<{results: import("../message.js").FoldedMessage[], more: boolean}>} the messages before it, oldest
   *   first; `more`: whether there are earlier ones
   */
  async getMessages(id, { before, limit, replaced }) {
    const query = new URLSearchParams({ before: String(before), limit: String(limit), order: "newest" });
    if (replaced) query.set("replaced", "true");
    const { results, next } = await this.request("GET", `${sessionPath(id)}messages/?${query}`);
    return { results: results.reverse(), more: Boolean(next) };
  }

  /**
   * @param {string} method
   * @param {string} path relative to the API, or a link that it gave
   * @param {object} [body]
   * @returns {Promise<any>} the answer; null if it has no content
   */
  async request(method, path, body) {
    const response = await this.#send(method, path, body);
    if (response.status === 204) return null;
    const answer = await response.text().then(parseJson).catch(() => null);
    // A network that asks for a sign-in answers every request with a page of its own.
    if (response.ok && answer === null) throw new ApiError(OTHER_ANSWERED, 0, "", true);
    if (response.ok) return answer;
    const { message, code = "" } = seeCookies(answer, this.#options.page) ?? {};
    const told = message ?? `the server answered ${response.status}`;
    throw new ApiError(told, response.status, code, answer?.retryable ?? response.status >= 500);
  }

  /** @param {string} method @param {string} path @param {object} [body] */
  async #send(method, path, body) {
    const { api, fetch, token } = this.#options;
    /** @type {Record<string, string>} */
    const headers = { Accept: "application/json" };
    if (token?.isUsed) headers.Authorization = `Bearer ${await token.fresh()}`;
    else if (method !== "GET") headers["X-CSRFToken"] = csrfToken();
    if (body) headers["Content-Type"] = "application/json";
    /** @type {RequestInit} */
    const request = { method, headers, body: body && JSON.stringify(body), credentials: "same-origin" };
    const address = path.startsWith("/") ? (orNull(() => new URL(path, api).href) ?? path) : api + path;
    try {
      return await /** @type {typeof globalThis.fetch} */ (fetch)(address, request);
    } catch {
      throw new ApiError("the server can't be reached", 0, "", true);
    }
  }
}

const OTHER_ANSWERED = "another server answered: this network may ask you to sign in to it";

/** @param {string} id */
export function sessionPath(id) {
  return `sessions/${encodeURIComponent(id)}/`;
}
