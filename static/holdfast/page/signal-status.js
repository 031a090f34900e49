// How things stand by a session's signals: what was decided by whom, and what is on its way. Pure: records in, answers out.

/** @typedef {import("../index.js").SignalRecord | import("../index.js").UnsentSignal} Signal */

const REFUSED = ["rejected", "expired", "failed"];

export class SignalStatus {
  #signals;
  #byId;
  #me;

  /** @param {Signal[]} signals in order @param {string|null} me who this page acts as */
  constructor(signals, me) {
    this.#signals = signals;
    this.#byId = new Map(signals.map((signal) => [signal.id, signal]));
    this.#me = me;
  }

  /** @param {string} id @returns {Signal|undefined} */
  of(id) {
    return this.#byId.get(id);
  }

  /** Whether a signal is this person's. One that isn't sent yet has no actor. @param {string|null} actor */
  isMine(actor) {
    return actor === null || actor === this.#me;
  }

  /** @param {string} approval @returns {Signal|undefined} the decision that is on its way, or counts */
  decision(approval) {
    return this.#signals.find(({ status, payload }) => payload.approval === approval && !REFUSED.includes(status));
  }

  /** @param {{id: string, created_at: number}} message a response @returns {Signal|undefined} the cancel that ended it */
  stop({ id, created_at: createdAt }) {
    const stops = this.#signals.filter(({ kind, status }) => kind === "cancel" && status === "applied");
    const about = (signal) => signal.message ?? signal.payload.message;
    // One that stops whatever runs may name none.
    return stops.find((signal) => about(signal) === id) ?? stops.find((signal) => !about(signal) && signal.at >= createdAt);
  }

  /** @param {string} message a response @returns {Signal|undefined} what asks for it again and hasn't begun */
  retry(message) {
    return this.#signals.find((signal) => signal.kind === "retry" && signal.payload.message === message && isUnfinished(signal));
  }

  /** Steers that are in no answer and no message of their own (yet). @param {object[]} messages */
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
 * Messages and the steers that stand among them, in the order of writing; what isn't sent yet is last.
 * @param {object[]} messages
 * @param {Signal[]} steers
 * @returns {object[]} a steer in the form of a message
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
