// Connection state in words. Pure: a connection and a time in, texts out.

/**
 * @typedef {object} Connection  value of `holdfast.connection`; times are ms since 1970
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
 * @typedef {object} StatusText
 * @property {string} word  always shown
 * @property {Tone} tone
 * @property {string} notice  a sentence for a user who has to wait; empty for none
 * @property {Action|null} action  offered to the user
 * @property {number|null} retryIn  whole seconds to the next retry, if the user has to wait
 */

// Shorter interruptions are not shown.
export const GRACE_MS = 1_000;

/** @type {Record<string, string>} */
const TRANSPORTS = { websocket: "WebSocket", stream: "HTTP streaming", poll: "long polling" };

/** @type {Record<string, [string, Action|null]>} */
const FAILED_STEPS = {
  signed_out: ["You are signed out. Sign in to continue; your conversations are kept.", "sign-in"],
  cookies_blocked: [
    "This browser blocks cookies, by which the site recognizes you. Allow them for this site, then reload.",
    "reload",
  ],
  forbidden_origin: ["The server doesn't accept this page's address. Open the site at its usual address.", null],
  too_many_connections: ["Too many tabs are connected. Close some and try again.", "retry"],
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
  failed: "Failed",
};

const CHECKED = "A better transport is tried from time to time.";
/** @type {Record<string, string>} */
const TRANSPORT_REASONS = {
  websocket_refused: `A proxy or firewall blocks WebSockets. ${CHECKED}`,
  websocket_silent: `WebSockets open, but receive nothing. ${CHECKED}`,
  websocket_answered: `The server refuses WebSockets at the moment. ${CHECKED}`,
  stream_refused: `A proxy or firewall blocks streaming. ${CHECKED}`,
  stream_silent: `A proxy buffers streams until they end. ${CHECKED}`,
  stream_answered: `The server refuses streams at the moment. ${CHECKED}`,
  remembered: `It worked here last time. ${CHECKED}`,
};

/**
 * @param {Connection} connection
 * @param {{now: number, awaySince: number|null, wasConnected: boolean}} view `awaySince`: loss of the last
 *   good connection, ms; `wasConnected`: whether there was one
 * @returns {StatusText}
 */
export function describe(connection, { now, awaySince, wasConnected }) {
  const { state } = connection;
  if (state === "connected") return status("Connected", "good", "");
  if (state === "failed") return failed(connection.reason);
  if (state === "suspended") {
    const retryIn = secondsUntil(connection.retryAt, now);
    return status("Offline", "offline", "Still offline. Your session is safe.", "retry", retryIn);
  }
  if (state === "closed" || state === "closing") {
    return status("Disconnected", "offline", "Disconnected. Your session is safe.", "retry");
  }
  const brief = awaySince === null || now - awaySince < GRACE_MS;
  if (brief) return wasConnected ? status("Connected", "good", "") : status("Connecting…", "waiting", "");
  return wasConnected
    ? status("Reconnecting…", "waiting", "Reconnecting… Your conversation is safe.")
    : status("Connecting…", "waiting", "Connecting…");
}

/**
 * Details of the connection: state, reason, next retry, transport, and why no better one is used.
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
  add("Next retry", !connected && retryAt !== null && countdown(secondsUntil(retryAt, now)));
  const over = transportName(transport) + (transportSince ? ` since ${clock(transportSince)}` : "");
  add("Transport", connected && over.charAt(0).toUpperCase() + over.slice(1));
  add(`Why not ${better(transport)}`, connected && transportReason && explainTransport(transportReason));
  add("Last heard", lastGoodAt !== null && `${duration(now - lastGoodAt)} ago`);
  return rows;
}

/** @param {string|null} transport @returns {string} display name */
export function transportName(transport) {
  return TRANSPORTS[transport ?? ""] ?? transport ?? "";
}

/** @param {string} state @returns {string} display name */
export function stateName(state) {
  return STATES[state] ?? state;
}

/** @param {{code: string, message: string}} reason why no better transport is used @returns {string} */
export function explainTransport({ code, message }) {
  return TRANSPORT_REASONS[code] ?? sentence(message);
}

/** @param {number|null} seconds to the next retry @returns {string} */
export function countdown(seconds) {
  if (seconds === null) return "";
  return seconds > 0 ? `Retrying in ${seconds} s` : "Retrying…";
}

/** Name of the better transports. @param {string|null} transport @returns {string} */
function better(transport) {
  return transport === "poll" ? "streaming" : "WebSocket";
}

/** @param {Connection["reason"]} reason @returns {StatusText} */
function failed(reason) {
  const why = reason?.message ?? "The server refused the connection";
  const [step, action] = FAILED_STEPS[reason?.code ?? ""] ?? [
    `${sentence(why)} Reload the page; your conversations are kept.`,
    "reload",
  ];
  return status("Not connected", "bad", step, action);
}

/**
 * @param {string} word @param {Tone} tone @param {string} notice
 * @param {Action|null} [action] @param {number|null} [retryIn]
 * @returns {StatusText}
 */
function status(word, tone, notice, action = null, retryIn = null) {
  return { word, tone, notice, action, retryIn };
}

/** @param {number|null} moment @param {number} now */
function secondsUntil(moment, now) {
  return moment === null ? null : Math.max(0, Math.ceil((moment - now) / 1000));
}

/** @param {number} moment ms @returns {string} in the user's time zone and format */
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

/** End a text with a full stop, unless it ends a sentence, perhaps in quotes. @param {string} text @returns {string} */
export function sentence(text) {
  const trimmed = text.trimEnd();
  return /[.!?…。！？][)\]"'”’»]*$/.test(trimmed) ? trimmed : `${trimmed}.`;
}
