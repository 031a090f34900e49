// Client of the REST API, for what the page does with conversations. Functions reject with an ApiError.
import { Rest, sessionPath } from "../network/rest.js";
import { addresses } from "./addresses.js";
import { network } from "./network.js";

const rest = new Rest({ api: addresses.api, fetch: network.fetch, page: window });

/**
 * @param {string|null} [next] `next` of the previous page
 * @returns {Promise<{results: object[], next: string|null}>} conversations, newest first
 */
export function listSessions(next = null) {
  return rest.listSessions(next);
}

/** @param {string} title @returns {Promise<object>} the new session */
export function createSession(title) {
  return rest.createSession({ title });
}

/** @param {string} id @param {string} title */
export function renameSession(id, title) {
  return rest.request("PATCH", sessionPath(id), { title });
}

/** @param {string} id */
export function deleteSession(id) {
  return rest.request("DELETE", sessionPath(id));
}

/** Restart the server as a new release does; for development. */
export function restartServer() {
  return rest.request("POST", addresses.restart);
}
