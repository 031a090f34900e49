// The wire as a page needs it (PROTOCOL.md §4, §5 and §8): frames, cursors, sizes, and the errors that close a socket.

/** @typedef {{type: string} & Record<string, any>} Frame */
/** @typedef {{code: string, message: string, retryable: boolean}} ProtocolError */
/** @typedef {{id: string, status: "accepted", serial: number}} Acceptance */
/** @typedef {Acceptance|{id: string, status: "rejected", error: ProtocolError}} Receipt */
/** @typedef {{frame_bytes: number, window_bytes: number, ack_bytes: number, ack_ms: number, sessions: number}} Limits */

// The errors that end a connection. Connecting again can't mend one that isn't retryable.
/** @type {[number, string, string, boolean][]} */
const CLOSING = [
  [4401, "signed_out", "You are signed out: sign in again", false],
  [4403, "forbidden_origin", "Pages of this origin may not connect here", false],
  [4408, "slow_reader", "The reader was too slow for too long: connect again", true],
  [4413, "frame_too_large", "The frame is too large", false],
  [4429, "rate_limited", "That is too much at once: slow down", true],
  [4429, "too_many_connections", "Too many connections are open: close some", true],
  [4500, "internal", "The server failed: the fault is in its log", true],
  [4503, "going_away", "This server is stopping: connect again", true],
];

/** @type {(ProtocolError & {closeCode: number})[]} */
export const CLOSING_ERRORS = CLOSING.map(([closeCode, code, message, retryable]) => {
  return { closeCode, code, message, retryable };
});

// In one attach or ack; a session has one or two streaming messages.
export const HELD_MESSAGES = 64;

/** What a close code means, to a client that missed the error frame before it. @param {number} closeCode */
export function errorOfClose(closeCode) {
  return CLOSING_ERRORS.find((error) => error.closeCode === closeCode);
}

/** @param {string} code @returns {ProtocolError|undefined} undefined for one that leaves the connection open */
export function closingError(code) {
  return CLOSING_ERRORS.find((error) => error.code === code);
}

/** @param {string} text @returns {Frame|null} null for what isn't a frame */
export function parseFrame(text) {
  try {
    const frame = JSON.parse(text);
    return typeof frame?.type === "string" ? frame : null;
  } catch {
    return null;
  }
}

/** A cursor's parts, for continuity alone. @param {string} cursor @returns {{epoch: string, serial: number}} */
export function parseCursor(cursor) {
  const cut = cursor.lastIndexOf("-");
  return { epoch: cursor.slice(0, cut), serial: Number(cursor.slice(cut + 1)) };
}

/** Replaces halves of surrogate pairs, which the server refuses, by U+FFFD. @param {string} text */
export function wellFormed(text) {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}

const encoder = new TextEncoder();

/** @param {string} text @returns {number} its bytes in UTF-8, as limits count them */
export function byteLength(text) {
  return encoder.encode(text).length;
}
