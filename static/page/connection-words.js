// What to say about the connection at a moment. Pure: the connection and the time in, words out.

/**
 * @typedef {object} Said
 * @property {string} word  the indicator's, always visible
 * @property {"good"|"waiting"|"offline"|"bad"} tone
 * @property {string} strip  the sentence above the conversation; empty for none
 * @property {"retry"|"reload"|"sign-in"|null} action  the strip's button
 * @property {number|null} retryIn  whole seconds to the next try, where a person is kept waiting
 */

// A blip shorter than this is nobody's business.
export const GRACE_MS = 1_000;

const TRANSPORTS = { websocket: "WebSocket", stream: "HTTP streaming", poll: "long polling" };
const FAILED_STEPS = {
  signed_out: ["You are signed out. Sign in again to go on; your conversations are kept.", "sign-in"],
  forbidden_origin: ["The server doesn't accept the address of this page. Open the site at its usual address.", null],
  too_many_connections: ["Too many tabs are connected. Close some, then try again.", "retry"],
};

/**
 * @param {{state: string, retryAt: number|null, reason: {code: string, message: string}|null}} connection
 * @param {{now: number, awaySince: number|null, wasConnected: boolean}} view when the last good connection was lost,
 *   ms; whether there has been one
 * @returns {Said}
 */
export function describe(connection, { now, awaySince, wasConnected }) {
  const { state } = connection;
  if (state === "connected") return said("Connected", "good", "");
  if (state === "failed") return failed(connection.reason);
  if (state === "suspended") {
    const retryIn = secondsUntil(connection.retryAt, now);
    return said("Offline", "offline", "Still offline. Your session is safe.", "retry", retryIn);
  }
  if (state === "closed" || state === "closing") {
    return said("Disconnected", "offline", "Disconnected. Your session is safe.", "retry");
  }
  const brief = awaySince === null || now - awaySince < GRACE_MS;
  if (brief) return wasConnected ? said("Connected", "good", "") : said("Connecting…", "waiting", "");
  return wasConnected
    ? said("Reconnecting…", "waiting", "Reconnecting… your conversation is safe.")
    : said("Connecting…", "waiting", "Connecting…");
}

/** @param {string|undefined} transport @returns {string} its name for people */
export function transportName(transport) {
  return TRANSPORTS[transport] ?? transport ?? "";
}

function failed(reason) {
  const why = reason?.message ?? "The server refused the connection";
  const usual = [`${why}. Reload the page; your conversations are kept.`, "reload"];
  const [step, action] = FAILED_STEPS[reason?.code] ?? usual;
  return said("Not connected", "bad", step, action);
}

function said(word, tone, strip, action = null, retryIn = null) {
  return { word, tone, strip, action, retryIn };
}

function secondsUntil(moment, now) {
  return moment === null ? null : Math.max(0, Math.ceil((moment - now) / 1000));
}
