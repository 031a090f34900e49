// Status of a session's signals, as the transcript shows it: decisions, stops, retries, steers. Pure.

/** @typedef {import("../index.js").SignalRecord | import("../index.js").UnsentSignal} Signal */

const REFUSED = ["rejected", "expired", "failed"];

export class SignalStatus {
  #signals;
  #byId;
  #me;

  /** @param {Signal[]} signals in order @param {string|null} me actor of this page */
  constructor(signals, me) {
    this.#signals = signals;
    this.#byId = new Map(signals.map((signal) => [signal.id, signal]));
    this.#me = me;
  }

  /** @param {string} id @returns {Signal|undefined} */
  of(id) {
    return this.#byId.get(id);
  }

  /** Whether a signal is this user's own; an unsent one has no actor. @param {string|null} actor */
  isMine(actor) {
    return actor === null || actor === this.#me;
  }

  /** @param {string} approval @returns {Signal|undefined} the decision, pending or valid */
  decision(approval) {
    return this.#signals.find(({ status, payload }) => payload.approval === approval && !REFUSED.includes(status));
  }

  /**
   * @param {{id: string, created_at: number, responses?: string[]}} message an answer
   * @returns {Signal|undefined} the cancel that stopped it
   */
  stop({ id: first, created_at: createdAt, responses }) {
    const id = responses?.at(-1) ?? first;
    const stops = this.#signals.filter(({ kind, status }) => kind === "cancel" && status === "applied");
    const about = (signal) => signal.message ?? signal.payload.message;
    // A cancel of everything that runs may name no message.
    return stops.find((signal) => about(signal) === id) ?? stops.find((signal) => !about(signal) && signal.at >= createdAt);
  }

  /** @param {string[]} messages ids of an answer's responses @returns {Signal|undefined} its retry that has not started */
  retry(messages) {
    const about = ({ kind, payload }) => kind === "retry" && messages.includes(payload.message);
    return this.#signals.find((signal) => about(signal) && isUnfinished(signal));
  }

  /** Steers that are neither part of an answer nor a message of their own (yet). @param {object[]} messages */
  looseSteers(messages) {
    const loose = this.#signals.filter(({ kind, status }) => kind === "steer" && status !== "applied");
    if (!loose.length) return loose;
    const steering = messages.flatMap(({ parts }) => parts.filter(({ type }) => type === "steering-message"));
    const taken = new Set([...messages, ...steering].map(({ id }) => id));
    return loose.filter(({ id }) => !taken.has(id));
  }
}

/** Whether a signal may still change. @param {Signal} signal */
export function isUnfinished({ status }) {
  return status !== "applied" && !REFUSED.includes(status);
}

/**
 * Merge messages and loose steers, in the order of writing; unsent ones come last.
 * @param {object[]} messages
 * @param {Signal[]} steers
 * @returns {object[]} messages, and steers in the form of messages
 */
export function interleave(messages, steers) {
  const merged = [...messages];
  for (const steer of steers) {
    const after = steer.actor === null ? isBefore(steer) : isHeldBefore(steer);
    merged.splice(merged.findLastIndex(after) + 1, 0, asMessage(steer));
  }
  return merged;
}

const UNSENT = ["waiting", "sending", "failed"];
const isBefore = ({ at }) => ({ status, created_at: createdAt }) => !UNSENT.includes(status) || createdAt <= at;
const isHeldBefore = ({ at }) => ({ status, created_at: createdAt }) => !UNSENT.includes(status) && createdAt <= at;

/** @param {Signal} steer */
function asMessage({ id, status, reason, at, payload }) {
  const stands = UNSENT.includes(status) ? status : "complete";
  return { id, role: "user", status: stands, reason, created_at: at, parts: payload.parts, loose: true };
}
