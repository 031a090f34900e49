// Client of the REST API. Functions reject with an ApiError.
import { parseJson } from "../json.js";
import { COOKIES_BLOCKED, blocksCookies } from "../page-lifecycle.js";
import { addresses } from "./addresses.js";
import { csrfToken } from "../network/csrf-token.js";
import { network } from "./network.js";

const OTHER_ANSWERED = "another server answered: this network may ask you to sign in to it";
const SESSIONS = `${addresses.api}sessions/`;

export class ApiError extends Error {
  /**
   * @param {string} message for users
   * @param {number} status HTTP status, 0 without an answer
   * @param {string} code error code of the server
   */
  constructor(message, status, code) {
    super(message);
    this.status = status;
    this.code = code;
  }

  /** Whether the server could not be reached, so that the same request may succeed later. */
  get offline() {
    return this.status === 0;
  }
}

/**
 * @param {string|null} [next] `next` of the previous page
 * @returns {Promise<{results: object[], next: string|null}>} conversations, newest first
 */
export function listSessions(next = null) {
  return request("GET", next ?? SESSIONS);
}

/** @param {string} title @returns {Promise<object>} the new session */
export function createSession(title) {
  return request("POST", SESSIONS, { title });
}

/** @param {string} id @param {string} title */
export function renameSession(id, title) {
  return request("PATCH", sessionPath(id), { title });
}

/** @param {string} id */
export function deleteSession(id) {
  return request("DELETE", sessionPath(id));
}

/**
 * @param {string} id
 * @param {{before: number, limit: number}} page `before` is a message's first serial
 * @returns {Promise<{results: object[], more: boolean}>} the messages before it, oldest first, replaced ones among them;
 *   `more`: whether there are earlier ones
 */
export async function getMessages(id, { before, limit }) {
  const query = new URLSearchParams({ before: String(before), limit: String(limit), order: "newest", replaced: "true" });
  const { results, next } = await request("GET", `${sessionPath(id)}messages/?${query}`);
  return { results: results.reverse(), more: Boolean(next) };
}

/** Restart the server as a new release does; for development. */
export function restartServer() {
  return request("POST", addresses.restart);
}

function sessionPath(id) {
  return `${SESSIONS}${encodeURIComponent(id)}/`;
}

async function request(method, path, body) {
  const response = await send(method, path, body);
  if (response.status === 204) return null;
  const answer = await response.text().then(parseJson).catch(() => null);
  // A network that asks for a sign-in answers every request with a page of its own.
  if (response.ok && answer === null) throw new ApiError(OTHER_ANSWERED, 0, "");
  if (response.ok) return answer;
  const blocked = answer?.code === "signed_out" && blocksCookies(window);
  const { message, code = "" } = blocked ? COOKIES_BLOCKED : (answer ?? {});
  throw new ApiError(message ?? `the server answered ${response.status}`, response.status, code);
}

async function send(method, path, body) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-CSRFToken"] = csrfToken();
  if (body) headers["Content-Type"] = "application/json";
  const request = { method, headers, body: body && JSON.stringify(body), credentials: "same-origin" };
  try {
    return await network.fetch(path, request);
  } catch {
    throw new ApiError("the server can't be reached", 0, "");
  }
}
