// Texts of the page. Pure: states in, texts out.
import { sentence } from "../connection-words.js";

const RESETS = {
  trimmed: (hours) =>
    hours ? `Older messages were removed after ${hours} hours.` : "Older messages have expired and were removed.",
  "epoch-changed": () => "This conversation was rebuilt on the server. This is its current state.",
  ahead: () => "The server was restored from a backup. The newest messages may be missing.",
  "too-far": () => "A lot happened while you were away. Only the newest messages are shown.",
};

/**
 * @param {string} reason of a reset
 * @param {number|null} hours retention of the conversation's messages, if known
 */
export function resetNotice(reason, hours) {
  return RESETS[reason]?.(hours) ?? "This conversation was reloaded from the server.";
}

/** @param {{code: string, message: string}} error why the session is not readable */
export function goneNotice({ code, message }) {
  if (code === "expired") return "This conversation has expired.";
  if (code === "not_found" || code === "deleted") {
    return "It was deleted, has expired, or belongs to another account.";
  }
  return sentence(message);
}

const KEPT = "The text so far is kept.";

/** @param {boolean} mine whether it is this user, in any tab */
function whoIs(mine) {
  return mine ? "you" : "someone else with access";
}

/** @param {boolean|null} mine whether this user sent the steer; null if unknown */
export function steerNotice(mine) {
  return mine === null ? "Added while the agent was working" : `Added by ${whoIs(mine)} while the agent was working`;
}

/**
 * @param {{role: string, metadata?: object|null}} message
 * @returns {string} which back end began the turn with it; empty if a person has said it
 */
export function begunNotice({ role, metadata }) {
  const by = role === "user" ? metadata?.holdfast?.begun_by : undefined;
  return by ? `Begun by ${String(by).replace(/^agent:/, "")}` : "";
}

/**
 * The notice below an answer that did not complete.
 * @param {{status: string, reason: string|null, parts: object[]}} message
 * @param {boolean|null} [byMe] whether this user stopped it; null if unknown
 * @returns {string} empty for none
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
 * The delivery status of the user's own message.
 * @param {{status: string, reason: string|null, loose?: boolean}} message `loose`: a steer that is not read yet
 * @param {boolean} online whether messages can be sent now
 * @param {import("./signal-status.js").Signal} [signal] signal of the message, if known
 */
export function deliveryNotice({ status, reason, loose }, online, signal) {
  if (status === "failed") return `Not sent: ${sentence(reason || "the server refused it")}`;
  if (status === "sending") return "Sending…";
  if (status === "waiting") return online ? "Waiting…" : "Waiting. Will be sent when you are back online.";
  const why = signal?.reason ? `: ${sentence(signal.reason)}` : "";
  if (signal?.status === "rejected") return `${signal.kind === "steer" ? "Not read" : "Not answered"}${why}`;
  if (signal?.status === "expired") return `Expired${why}`;
  return loose ? "Will be read at the next step" : RECEIPTS[receiptOf(signal)] + why;
}

const RECEIPTS = { sent: "Sent", delivered: "Delivered", read: "Read" };

/**
 * The receipt of a message. One that no agent answers is never more than sent.
 * @param {import("./signal-status.js").Signal} [signal]
 * @returns {"sent"|"delivered"|"read"}
 */
export function receiptOf(signal) {
  if (signal?.status === "delivered") return "delivered";
  return signal?.status === "applied" && signal.message ? "read" : "sent";
}

/**
 * @typedef {object} Decision
 * @property {"approved"|"denied"|"expired"} state
 * @property {boolean} sending whether it is not stored yet
 * @property {string|null} by actor
 * @property {number|null} at ms
 * @property {boolean} edited
 * @property {string} reason
 */

/**
 * The decision about a tool call, in words.
 * @param {Decision|null} decision null: none, and it is too late
 * @param {{mine: boolean, online: boolean}} context
 */
export function decisionNotice(decision, { mine, online }) {
  if (!decision) return "Not decided: the answer ended first.";
  const { state, sending, at, edited, reason } = decision;
  if (state === "expired") return "Expired without a decision. The tool did not run.";
  const how = `${state === "approved" ? "Approved" : "Denied"}${edited ? " with edited arguments" : ""}`;
  if (sending) return online ? `${how}. Sending…` : `${how}. Will be sent when you are back online.`;
  const when = at === null ? "" : ` at ${clockTime(at)}`;
  return sentence(`${how} by ${whoIs(mine)}${when}${reason && `: ${reason}`}`);
}

/** @param {string} type of a part without text that cannot be drawn */
export function partProblem(type) {
  return `This part can't be shown: ${type}`;
}

export const MESSAGE_PROBLEM = "Some of this message can't be shown.";

/** @param {boolean} waits whether the answer waits for a decision */
export function workNotice(waits) {
  return waits ? "Waiting for a decision…" : "Working…";
}

/** @param {boolean} stopping whether a stop is in progress */
export function stopLabel(stopping) {
  return stopping ? "Stopping…" : "Stop";
}

/**
 * The outcome of a stop.
 * @param {{status: string, reason: string|null}} signal its record, once it is final
 */
export function stopNotice({ status, reason }) {
  return status === "applied" ? "Stopped." : `Not stopped: ${sentence(reason || "the agent had finished")}`;
}

/**
 * The hint below the composer.
 * @param {{stopping: boolean, online: boolean, keeps: boolean|null, steers: boolean, hasKeyboard: boolean}} state
 *   `keeps`: whether unsent messages outlive the page; null until known
 */
export function composerHint({ stopping, online, keeps, steers, hasKeyboard }) {
  if (keeps === false) return "This browser keeps nothing: a message that isn't sent yet is lost when you leave or reload.";
  if (stopping && !online) return "The agent will be stopped when you are back online.";
  if (steers) return hasKeyboard ? "Enter to steer the agent" : "Steers the agent";
  return hasKeyboard ? "Enter to send, Shift+Enter for a new line" : "";
}

/** @param {string} tool name */
export function approvalNews(tool) {
  return `${toolTitle(tool)} is waiting for your decision.`;
}

/** @param {{message: string}} error why the decision was refused */
export function refusalNotice({ message }) {
  return `Your decision was not accepted: ${sentence(message)}`;
}

/** @param {number} left ms */
export function expiryNotice(left) {
  // Clocks differ: only the server knows whether it has expired.
  if (left <= 0) return "Expires now";
  const seconds = Math.ceil(left / 1_000);
  if (seconds > 2 * 3_600) return `Expires in ${Math.round(seconds / 3_600)} hours`;
  return `Expires in ${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** @param {number} at ms @returns {string} hours and minutes in the user's format */
export function clockTime(at) {
  return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

/** @param {number} number of the answer, from 1 @param {number} count of the alternatives */
export function alternativeNotice(number, count) {
  return `Answer ${number} of ${count}`;
}

export const EARLIER_ANSWER = "An earlier answer, not part of the conversation.";

/** @param {"continue"|"regenerate"} mode of a retry that has not started @param {boolean} online */
export function retryNotice(mode, online) {
  const what = mode === "continue" ? "Continuing" : "Regenerating";
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
 * @param {boolean} ended whether its message has ended, so that nothing runs any more
 * @param {Decision|null} [decision] decision about the call
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

const TITLE_LENGTH = 60; // characters; fits a line of the list

/** @param {string} text a first message @returns {string} a title for its conversation */
export function titleOf(text) {
  const line = text.trim().replace(/\s+/g, " ");
  const characters = [...line];
  if (characters.length <= TITLE_LENGTH) return line;
  const cut = characters.slice(0, TITLE_LENGTH - 1).join("");
  const space = cut.lastIndexOf(" ");
  return `${space > TITLE_LENGTH / 2 ? cut.slice(0, space) : cut}…`;
}
