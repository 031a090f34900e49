// The wire format (PROTOCOL.md §4, §5 and §9): frames, cursors, sizes, and the errors that close a connection.

import { parseJson } from "./json.js";
import { orNull } from "./or-null.js";

/** @typedef {{type: string} & Record<string, any>} Frame */
/** @typedef {{code: string, message: string, retryable: boolean}} ProtocolError */
/** @typedef {{id: string, status: "accepted", serial: number}} Acceptance */
/** @typedef {Acceptance|{id: string, status: "rejected", error: ProtocolError}} Receipt */
/**
 * A stored signal. `code` and `reason`: cause of its status, for programs and for people. `message`: id of the response
 * that it is about.
 * @typedef {object} SignalRecord
 * @property {string} id
 * @property {"message"|"steer"|"cancel"|"approve"|"deny"|"tool-result"|"retry"} kind
 * @property {"accepted"|"delivered"|"applied"|"rejected"|"expired"} status
 * @property {string|null} code
 * @property {string|null} reason
 * @property {string} actor sender
 * @property {string} [issued_by] issuer of the sender's token
 * @property {number} at ms
 * @property {string|null} message
 * @property {Record<string, any>} payload its public fields
 */
/**
 * @typedef {{frame_bytes: number, window_bytes: number, ack_bytes: number, ack_ms: number, sessions: number}} Limits
 */

// Errors that end a connection: close code, error code, and whether reconnecting may help.
/** @type {[number, string, boolean][]} */
const CLOSING = [
  [4401, "signed_out", false],
  [4401, "bad_token", false],
  [4401, "token_expired", false],
  [4403, "forbidden_origin", false],
  [4408, "slow_reader", true],
  [4413, "frame_too_large", false],
  [4429, "rate_limited", true],
  [4429, "too_many_connections", true],
  [4500, "internal", true],
  [4503, "going_away", true],
];

// Limit in one attach or ack. A session usually has one or two streaming messages.
export const HELD_MESSAGES = 64;

/**
 * The error of a close code, for a client that missed the error frame before it.
 * @param {number} [closeCode]
 * @returns {ProtocolError|undefined}
 */
export function errorOfClose(closeCode) {
  const found = CLOSING.find(([number]) => number === closeCode);
  if (!found) return undefined;
  const [, code, retryable] = found;
  return { code, message: `Closed by the server: ${code.replaceAll("_", " ")}`, retryable };
}

/** @param {Frame} frame an `error` @returns {ProtocolError} */
export function errorOf({ code, message, retryable }) {
  return { code, message, retryable };
}

/** @param {string} code of an error */
export function endsConnection(code) {
  return CLOSING.some(([, closing]) => closing === code);
}

/** @param {string} text @returns {Frame|null} null if it is not a frame */
export function parseFrame(text) {
  const frame = orNull(() => parseJson(text));
  return typeof frame?.type === "string" ? frame : null;
}

/** Split a cursor, to check continuity. @param {string} cursor @returns {{epoch: string, serial: number}} */
export function parseCursor(cursor) {
  const cut = cursor.lastIndexOf("-");
  return { epoch: cursor.slice(0, cut), serial: Number(cursor.slice(cut + 1)) };
}

/** Replace lone surrogates, which the server refuses, by U+FFFD. @param {string} text */
export function wellFormed(text) {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}

const encoder = new TextEncoder();

/** @param {string} text @returns {number} bytes in UTF-8, the unit of the limits */
export function byteLength(text) {
  return encoder.encode(text).length;
}

/** @param {ProtocolError} error @returns {Error & ProtocolError} */
export function asError(error) {
  return Object.assign(new Error(error.message), error);
}

/**
 * A replacer for JSON.stringify, which turns NaN and infinity into null by itself.
 * @param {string} _
 * @param {unknown} value
 */
export function storable(_, value) {
  if (typeof value === "number" && !Number.isFinite(value)) throw new TypeError(`${value} is not a JSON number`);
  return typeof value === "string" ? wellFormed(value) : value;
}

// --- Refusals by this client ---

// Ids that a caller may give to a message.
export const SIGNAL_ID = /^[\w-]{8,64}$/;

export const TOO_LARGE = refusal("frame_too_large", "The message is too large");
export const NO_APPROVAL = refusal("no_such_approval", "Approval not found");
export const BAD_ID = refusal("bad_signal", `An id must match ${SIGNAL_ID}`);

/** @param {string} code @param {string} message @returns {ProtocolError} */
function refusal(code, message) {
  return { code, message, retryable: false };
}
