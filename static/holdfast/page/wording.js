// What the page says about states, in words. Pure: states in, sentences out.

const RESETS = {
  trimmed: (hours) =>
    hours ? `Older messages were removed after ${hours} hours.` : "Older messages were removed: their time was over.",
  "epoch-changed": () => "This conversation was rebuilt on the server. You see it as it is now.",
  ahead: () => "The server was restored from an earlier copy, so the newest messages may be missing.",
  "too-far": () => "Much happened while you were away. You see the newest messages.",
};

/**
 * @param {string} reason of a reset
 * @param {number|null} hours how long the conversation's messages are kept, if known
 */
export function resetNotice(reason, hours) {
  return RESETS[reason]?.(hours) ?? "This conversation was loaded again from the server.";
}

/** @param {{code: string, message: string}} error why a session can't be read */
export function goneNotice({ code, message }) {
  if (code === "expired") return "The time that this conversation was kept for is over.";
  if (code === "not_found" || code === "deleted") {
    return "It was deleted, the time it was kept for is over, or it belongs to another account.";
  }
  return sentence(message);
}

const KEPT = "What it had written is kept.";

/** @param {boolean} mine whether it is this person, in whatever tab */
function whoIs(mine) {
  return mine ? "you" : "somebody else with access";
}

/** @param {boolean|null} mine whether this person has told it the agent at work; null if that isn't known */
export function steerNotice(mine) {
  return mine === null ? "Added while it was written" : `Added by ${whoIs(mine)} while it was written`;
}

/**
 * How an answer stands that did not simply complete.
 * @param {{status: string, reason: string|null, parts: object[]}} message
 * @param {boolean|null} [byMe] whether it is this person who has stopped it; null if that isn't known
 * @returns {string} empty for nothing to say
 */
export function answerNotice({ status, reason, parts }, byMe = null) {
  const kept = parts.some(({ type }) => type !== "step-start") ? KEPT : "";
  const say = (text) => [text, kept].filter(Boolean).join(" ");
  if (status === "interrupted") return say("Interrupted: the agent stopped before it finished.");
  if (status === "cancelled") return say(`Stopped${byMe === null ? "" : ` by ${whoIs(byMe)}`} before it finished.`);
  if (status === "failed") return say(`Failed: ${sentence(reason || "the agent reported an error")}`);
  return "";
}

/**
 * How a person's own message stands: what keeps it from being sent, or how far it has come.
 * @param {{status: string, reason: string|null, loose?: boolean}} message `loose`: a steer that isn't read yet
 * @param {boolean} online whether it can leave at once
 * @param {import("./standing.js").Signal} [signal] the message as a signal, if the session tells of it
 */
export function deliveryNotice({ status, reason, loose }, online, signal) {
  if (status === "failed") return `Not sent: ${sentence(reason || "the server refused it")}`;
  if (status === "sending") return "Sending…";
  if (status === "waiting") return online ? "Waiting…" : "Waiting: it is sent when you are back online";
  const why = signal?.reason ? `: ${sentence(signal.reason)}` : "";
  if (signal?.status === "rejected") return `${signal.kind === "steer" ? "Not read" : "Not answered"}${why}`;
  if (signal?.status === "expired") return `Expired${why}`;
  return loose ? "Will be read at the next step" : RECEIPTS[receiptOf(signal)] + why;
}

const RECEIPTS = { sent: "Sent", delivered: "Delivered", read: "Read" };

/**
 * How far a message has come. One that no agent answers is only ever sent.
 * @param {import("./standing.js").Signal} [signal]
 * @returns {"sent"|"delivered"|"read"}
 */
export function receiptOf(signal) {
  if (signal?.status === "delivered") return "delivered";
  return signal?.status === "applied" && signal.message ? "read" : "sent";
}

/**
 * @typedef {object} Decision
 * @property {"approved"|"denied"|"expired"} state
 * @property {boolean} sending whether it is only on its way
 * @property {string|null} by an actor
 * @property {number|null} at ms
 * @property {boolean} edited
 * @property {string} reason
 */

/**
 * What was decided about a tool call.
 * @param {Decision|null} decision null: nobody has, and it is too late
 * @param {{mine: boolean, online: boolean}} context
 */
export function decisionNotice(decision, { mine, online }) {
  if (!decision) return "Not decided: the answer ended before.";
  const { state, sending, at, edited, reason } = decision;
  if (state === "expired") return "Expired: nobody decided in time, so it didn't run.";
  const how = `${state === "approved" ? "Approved" : "Denied"}${edited ? " with edited arguments" : ""}`;
  if (sending) return online ? `${how}: sending…` : `${how}: it is sent when you are back online`;
  const when = at === null ? "" : ` at ${clockTime(at)}`;
  return sentence(`${how} by ${whoIs(mine)}${when}${reason && `: ${reason}`}`);
}

/** @param {string} type of a part that can't be drawn and has no text */
export function partProblem(type) {
  return `This part can't be shown: ${type}`;
}

export const MESSAGE_PROBLEM = "Some of this message can't be shown.";

/** @param {boolean} waits whether an answer that is written waits for a person */
export function workNotice(waits) {
  return waits ? "Waiting for a decision…" : "Working…";
}

/** @param {boolean} stopping whether somebody has asked for it, and it hasn't happened */
export function stopLabel(stopping) {
  return stopping ? "Stopping…" : "Stop";
}

/**
 * What became of a stop.
 * @param {{status: string, reason: string|null}} signal its record, once it is final
 */
export function stopNotice({ status, reason }) {
  return status === "applied" ? "Stopped." : `Not stopped: ${sentence(reason || "the agent had finished")}`;
}

/**
 * What sending does now.
 * @param {{stopping: boolean, online: boolean, steers: boolean, hasKeyboard: boolean}} state
 */
export function composerHint({ stopping, online, steers, hasKeyboard }) {
  if (stopping && !online) return "The agent is stopped when you are back online";
  if (steers) return hasKeyboard ? "Enter steers the agent at work" : "Steers the agent at work";
  return hasKeyboard ? "Enter sends, Shift+Enter starts a new line" : "";
}

/** @param {string} tool its name */
export function approvalNews(tool) {
  return `${toolTitle(tool)} waits for your decision.`;
}

/** @param {{message: string}} error why a decision doesn't count */
export function refusalNotice({ message }) {
  return `Your decision doesn't count: ${sentence(message)}`;
}

/** @param {number} left ms */
export function expiryNotice(left) {
  // Clocks differ: whether it has expired is for the server to say.
  if (left <= 0) return "Expires now";
  const seconds = Math.ceil(left / 1_000);
  if (seconds > 2 * 3_600) return `Expires in ${Math.round(seconds / 3_600)} hours`;
  return `Expires in ${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** @param {number} at ms @returns {string} hours and minutes, as is usual where the reader is */
export function clockTime(at) {
  return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

/** @param {"continue"|"regenerate"} mode of a retry that hasn't begun @param {boolean} online */
export function retryNotice(mode, online) {
  const what = mode === "continue" ? "Continuing" : "Starting again";
  return online ? `${what}…` : `${what} when you are back online`;
}

const TOOL_STATES = {
  "input-streaming": "preparing…",
  "input-available": "running…",
  "approval-requested": "waiting for approval",
  "approval-responded": "running…",
  "output-available": "done",
  "output-error": "failed",
  "output-denied": "denied",
};
const UNFINISHED = ["input-streaming", "input-available", "approval-requested", "approval-responded"];

/**
 * @param {{state: string, preliminary?: boolean}} part a tool call
 * @param {boolean} ended whether its message has ended: then nothing is going on any more
 * @param {Decision|null} [decision] what a person decided about it
 */
export function toolState(part, ended, decision = null) {
  if (part.state === "output-available" && part.preliminary) return ended ? "stopped" : "running…";
  if (decision?.state === "expired") return "expired";
  if (ended && UNFINISHED.includes(part.state)) return "stopped";
  if (decision && UNFINISHED.includes(part.state)) return decision.state === "denied" ? "denied" : "running…";
  return TOOL_STATES[part.state] ?? part.state;
}

/** @param {string} name get_weather @returns {string} Get weather */
export function toolTitle(name) {
  const words = name.replace(/[_-]+/g, " ").replace(/([a-z\d])([A-Z])/g, "$1 $2").trim().toLowerCase();
  return words ? words[0].toUpperCase() + words.slice(1) : "Tool";
}

/** @param {{events: number, ms: number}} caughtUp */
export function caughtUpNotice({ events, ms }) {
  const counted = `${events.toLocaleString("en")} ${events === 1 ? "event" : "events"}`;
  return `Caught up: ${counted} in ${Math.max(1, Math.round(ms))} ms`;
}

const TITLE_LENGTH = 60; // characters: what a line of the list can show

/** @param {string} text a first message @returns {string} a title for its conversation */
export function titleOf(text) {
  const line = text.trim().replace(/\s+/g, " ");
  const characters = [...line];
  if (characters.length <= TITLE_LENGTH) return line;
  const cut = characters.slice(0, TITLE_LENGTH - 1).join("");
  const space = cut.lastIndexOf(" ");
  return `${space > TITLE_LENGTH / 2 ? cut.slice(0, space) : cut}…`;
}

function sentence(text) {
  return /[.!?…]$/.test(text) ? text : `${text}.`;
}
