// What to say about the connection at a moment. Pure: the connection and the time in, words out.

/**
 * @typedef {object} Connection  as `holdfast.connection` gives it; times are ms since 1970
 * @property {string} state
 * @property {number} since
 * @property {number|null} retryAt
 * @property {{code: string, message: string}|null} reason
 * @property {number|null} lastGoodAt
 * @property {string|null} transport
 * @property {{code: string, message: string}|null} [transportReason]
 * @property {number|null} [transportSince]
 */

/** @typedef {"good"|"waiting"|"offline"|"bad"} Tone */
/** @typedef {"retry"|"reload"|"sign-in"} Action */
/**
 * @typedef {object} Said
 * @property {string} word  always on show
 * @property {Tone} tone
 * @property {string} notice  a sentence for who is kept waiting; empty for none
 * @property {Action|null} action  what a person can do about it
 * @property {number|null} retryIn  whole seconds to the next try, where a person is kept waiting
 */

// A blip shorter than this is nobody's business.
export const GRACE_MS = 1_000;

/** @type {Record<string, string>} */
const TRANSPORTS = { websocket: "WebSocket", stream: "HTTP streaming", poll: "long polling" };

/** @type {Record<string, [string, Action|null]>} */
const FAILED_STEPS = {
  signed_out: ["You are signed out. Sign in again to go on; your conversations are kept.", "sign-in"],
  forbidden_origin: ["The server doesn't accept the address of this page. Open the site at its usual address.", null],
  too_many_connections: ["Too many tabs are connected. Close some, then try again.", "retry"],
};

/** @type {Record<string, string>} */
const STATES = {
  initialized: "Not connected yet",
  connecting: "Connecting",
  connected: "Connected",
  disconnected: "Disconnected",
  suspended: "Offline",
  closing: "Closing",
  closed: "Closed",
  failed: "Given up",
};

const TRIED_AGAIN = "A better way is tried again from time to time.";
/** @type {Record<string, string>} */
const TRANSPORT_REASONS = {
  websocket_refused: `A proxy or firewall on the way refuses WebSockets. ${TRIED_AGAIN}`,
  websocket_silent: `A WebSocket can be opened here, but nothing comes through it. ${TRIED_AGAIN}`,
  websocket_answered: `The server refuses WebSockets for now. ${TRIED_AGAIN}`,
  stream_refused: `A proxy or firewall on the way refuses streams. ${TRIED_AGAIN}`,
  stream_silent: `A proxy on the way holds streams back until they end. ${TRIED_AGAIN}`,
  stream_answered: `The server refuses streams for now. ${TRIED_AGAIN}`,
  remembered: `It is what worked here last. ${TRIED_AGAIN}`,
};

/**
 * @param {Connection} connection
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

/**
 * For who wants to know more: since when it is so, over what, why not over something better, and what comes next.
 * @param {Connection} connection
 * @param {number} now ms
 * @returns {{term: string, text: string}[]}
 */
export function explain(connection, now) {
  const { state, since, reason, transport, transportReason, transportSince, retryAt, lastGoodAt } = connection;
  const connected = state === "connected";
  const rows = [{ term: "State", text: since ? `${stateName(state)} since ${clock(since)}` : stateName(state) }];
  const add = (/** @type {string} */ term, /** @type {string|false|null|undefined} */ text) => {
    if (text) rows.push({ term, text });
  };
  add("Reason", reason && sentence(reason.message));
  add("Next try", !connected && retryAt !== null && countdown(secondsUntil(retryAt, now)));
  const over = transportName(transport) + (transportSince ? ` since ${clock(transportSince)}` : "");
  add("Transport", connected && over.charAt(0).toUpperCase() + over.slice(1));
  add(`Why not ${better(transport)}`, connected && transportReason && explainTransport(transportReason));
  add("Last heard", lastGoodAt !== null && `${duration(now - lastGoodAt)} ago`);
  return rows;
}

/** @param {string|null} transport @returns {string} its name for people */
export function transportName(transport) {
  return TRANSPORTS[transport ?? ""] ?? transport ?? "";
}

/** @param {string} state @returns {string} its name for people */
export function stateName(state) {
  return STATES[state] ?? state;
}

/** @param {{code: string, message: string}} reason why the transport isn't the best one @returns {string} */
export function explainTransport({ code, message }) {
  return TRANSPORT_REASONS[code] ?? sentence(message);
}

/** @param {number|null} seconds to the next try @returns {string} */
export function countdown(seconds) {
  if (seconds === null) return "";
  return seconds > 0 ? `Trying again in ${seconds} s` : "Trying again…";
}

/** @param {string|null} transport @returns {string} those above it */
function better(transport) {
  return transport === "poll" ? "streaming" : "WebSocket";
}

/** @param {Connection["reason"]} reason @returns {Said} */
function failed(reason) {
  const why = reason?.message ?? "The server refused the connection";
  const [step, action] = FAILED_STEPS[reason?.code ?? ""] ?? [
    `${sentence(why)} Reload the page; your conversations are kept.`,
    "reload",
  ];
  return said("Not connected", "bad", step, action);
}

/**
 * @param {string} word @param {Tone} tone @param {string} notice
 * @param {Action|null} [action] @param {number|null} [retryIn]
 * @returns {Said}
 */
function said(word, tone, notice, action = null, retryIn = null) {
  return { word, tone, notice, action, retryIn };
}

/** @param {number|null} moment @param {number} now */
function secondsUntil(moment, now) {
  return moment === null ? null : Math.max(0, Math.ceil((moment - now) / 1000));
}

/** @param {number} moment ms @returns {string} in the reader's own zone and way */
function clock(moment) {
  return new Date(moment).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

/** @param {number} ms */
function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** @param {string} text */
function sentence(text) {
  return /[.!?…]$/.test(text) ? text : `${text}.`;
}
