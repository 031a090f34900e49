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

/**
 * How an answer stands that did not simply complete.
 * @param {{status: string, reason: string|null, parts: object[]}} message
 * @returns {string} empty for nothing to say
 */
export function answerNotice({ status, reason, parts }) {
  const kept = parts.some(({ type }) => type !== "step-start") ? KEPT : "";
  const say = (text) => [text, kept].filter(Boolean).join(" ");
  if (status === "interrupted") return say("Interrupted: the agent stopped before it finished.");
  if (status === "cancelled") return say("Stopped before it finished.");
  if (status === "failed") return say(`Failed: ${sentence(reason || "the agent reported an error")}`);
  return "";
}

/**
 * How a person's own message stands.
 * @param {{status: string, reason: string|null}} message
 * @param {boolean} online whether it can leave at once
 */
export function deliveryNotice({ status, reason }, online) {
  if (status === "failed") return `Not sent: ${sentence(reason || "the server refused it")}`;
  if (status === "sending") return "Sending…";
  if (status === "sending") return "Sending…";
  if (status !== "waiting") return "Sent";
  return online ? "Waiting…" : "Waiting: it is sent when you are back online";
}

const TOOL_STATES = {
  "input-streaming": "preparing…",
  "input-available": "running…",
  "approval-requested": "waiting for approval",
  "approval-responded": "approval answered",
  "output-available": "done",
  "output-error": "failed",
  "output-denied": "denied",
};
const UNFINISHED = ["input-streaming", "input-available", "approval-requested", "approval-responded"];

/**
 * @param {{state: string, preliminary?: boolean}} part a tool call
 * @param {boolean} ended whether its message has ended: then nothing is going on any more
 */
export function toolState(part, ended) {
  if (part.state === "output-available" && part.preliminary) return ended ? "stopped" : "running…";
  if (ended && UNFINISHED.includes(part.state)) return "stopped";
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
