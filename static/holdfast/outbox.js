// The outbox: a session's unconfirmed signals, sent by one tab at a time. Work (messages, steers, retries) goes in
// order, one in flight at a time; decisions (cancel, approve, …) go at once, ahead of waiting work.

import { backoffDelay } from "./backoff.js";
import { nextRevision } from "./message.js";
import { asError, byteLength } from "./protocol.js";

/** @typedef {import("./message.js").Message} Message */
/** @typedef {import("./protocol.js").ProtocolError} ProtocolError */
/** @typedef {import("./protocol.js").Receipt} Receipt */
/** @typedef {import("./protocol.js").SignalRecord} SignalRecord */
/** @typedef {import("./shared-signals.js").SharedSignals} SharedSignals */

// Deadline for a receipt: the server may die between storing and answering. The id makes sending again harmless.
export const RECEIPT_TIMEOUT_MS = 10_000;
// Deadline for the send lock, whose holder may be asleep. Sending twice is harmless, waiting forever is not.
export const LOCK_PATIENCE_MS = 5_000;
// Capacity per session, for work and for decisions each; failed signals count until they are dismissed.
export const MAX_SIGNALS = 100;
export const MAX_BYTES = 1_000_000;

// Kinds that give an agent work. The others are decisions about work under way, independent of each other.
const WORK = ["message", "steer", "retry"];

/**
 * A message to send. `id`: its id, and its signal's: `[A-Za-z0-9_-]{8,64}`, so that sending it again counts once.
 * @typedef {{parts: {type: string, [field: string]: any}[], metadata?: object, id?: string}} NewMessage
 */

/**
 * A signal as stored for a reload and shared with other tabs.
 * @typedef {object} KeptSignal
 * @property {string} id
 * @property {SignalRecord["kind"]} kind
 * @property {Record<string, any>} payload
 * @property {number} at creation time, ms; the sort key
 * @property {ProtocolError|null} error permanent refusal
 */

/**
 * @typedef {object} Progress
 * @property {"waiting"|"sent"|"accepted"|"rejected"} state
 * @property {number} due time of the next sending, ms
 * @property {number} refusals retryable refusals so far
 * @property {number} serial of the stored signal, once accepted; 0 before
 * @property {number} revision greater after each change
 */

/** @typedef {KeptSignal & Progress} Signal */

/**
 * The user's own message that is not stored yet.
 * @typedef {Pick<Message, "id"|"role"|"reason"|"metadata"|"created_at"|"parts"|"revision">
 *   & {status: "waiting"|"sending"|"failed"}} UnsentMessage
 */

/**
 * The user's own signal of another kind that is not stored yet.
 * @typedef {Omit<SignalRecord, "status"|"actor"> & {status: UnsentMessage["status"], actor: null}} UnsentSignal
 */

/** @type {Record<Signal["state"], UnsentMessage["status"]>} */
const STATUSES = { waiting: "waiting", sent: "sending", accepted: "sending", rejected: "failed" };

export class Outbox {
  /**
   * Signals with these ids were added, removed or changed; or this tab got the lock.
   * @type {(ids: string[]) => void}
   */
  onchange = () => {};
  /** A signal has its receipt, which may have come to another tab. @type {(receipt: Receipt) => void} */
  onsettled = () => {};

  #shared;
  /** @type {Map<string, Signal>} in order */
  #signals = new Map();
  /** Time from which this tab may send, ms: Infinity without the lock, a deadline while waiting for it, 0 with it. */
  #maySendAt = Infinity;
  /** @type {ProtocolError|null} why the session takes no more signals */
  #ended = null;

  /** @param {SharedSignals} shared with other tabs and the next page */
  constructor(shared) {
    this.#shared = shared;
    shared.onfound = (kept) => this.#found(kept);
    shared.onsettled = (receipt) => this.#settle(receipt);
    shared.onforgotten = (id) => this.#drop(id);
    shared.onlock = () => this.#lockAcquired();
  }

  /**
   * @param {Pick<KeptSignal, "id"|"kind"|"payload">} signal
   * @param {number} now ms
   * @throws {Error} `outbox_full`
   */
  add({ id, kind, payload }, now) {
    this.#checkRoom(kind, payload);
    // Strictly increasing, even within a millisecond or after the clock was set back.
    const at = Math.max(now, (this.signals.at(-1)?.at ?? 0) + 1);
    const kept = { id, kind, payload, at, error: null };
    this.#put(kept);
    this.#shared.save(kept);
  }

  /** @param {string} kind @param {KeptSignal["payload"]} payload */
  #checkRoom(kind, payload) {
    const alike = this.signals.filter((signal) => isDecision(signal) === isDecision({ kind }));
    const kept = alike.filter(({ state }) => state !== "accepted");
    const payloads = [...kept.map((signal) => signal.payload), payload];
    if (payloads.length <= MAX_SIGNALS && byteLength(JSON.stringify(payloads)) <= MAX_BYTES) return;
    const message = "Too many unsent messages (limit: 100 or 1 MB): wait, or dismiss some";
    throw asError({ code: "outbox_full", message, retryable: true });
  }

  /** @param {KeptSignal} kept */
  #put(kept) {
    const state = kept.error ? "rejected" : "waiting";
    this.#signals.set(kept.id, { ...kept, state, due: 0, refusals: 0, serial: 0, revision: nextRevision() });
  }

  /** @param {KeptSignal[]} kept by another tab, or before a reload */
  #found(kept) {
    const added = kept.filter(({ id }) => !this.#signals.has(id));
    if (!added.length) return;
    for (const signal of added) this.#put(signal);
    this.#signals = new Map([...this.#signals].sort(([, a], [, b]) => a.at - b.at || a.id.localeCompare(b.id)));
    if (this.#ended) this.failAll(this.#ended);
    else this.onchange(added.map(({ id }) => id));
  }

  /** @returns {Signal[]} in order */
  get signals() {
    return [...this.#signals.values()];
  }

  /** Signals that may be sent next: every unanswered decision, and the first unanswered work. */
  get #heads() {
    const open = this.signals.filter(isUnanswered);
    const first = open.find((signal) => !isDecision(signal));
    return open.filter((signal) => signal === first || isDecision(signal));
  }

  /** Time at which `next` has a signal, ms; Infinity if it needs an event first. */
  get deadline() {
    return Math.max(this.#maySendAt, Math.min(...this.#heads.map(({ due }) => due)));
  }

  /**
   * Take the next signal to send, marked as sent; null if there is none, or this tab may not send.
   * @param {number} now ms
   */
  next(now) {
    const heads = this.#heads;
    if (!heads.length) this.#releaseLock();
    else if (this.#maySendAt === Infinity) this.#acquireLock(now);
    const signal = now < this.#maySendAt ? undefined : heads.find(({ due }) => due <= now);
    if (!signal) return null;
    update(signal, { state: "sent", due: now + RECEIPT_TIMEOUT_MS });
    return signal;
  }

  /** @param {number} now ms */
  #acquireLock(now) {
    this.#maySendAt = now + LOCK_PATIENCE_MS;
    this.#shared.acquireLock();
  }

  #lockAcquired() {
    this.#maySendAt = 0;
    this.onchange([]);
  }

  #releaseLock() {
    if (this.#maySendAt !== Infinity) this.#shared.releaseLock();
    this.#maySendAt = Infinity;
  }

  /** Requeue signals in flight, which may be lost, with the same ids; release the lock for other tabs. */
  disconnected() {
    const sent = this.signals.filter(({ state }) => state === "sent");
    for (const signal of sent) update(signal, { state: "waiting", due: 0 });
    this.#releaseLock();
    if (sent.length) this.onchange(sent.map(({ id }) => id));
  }

  /** @param {string} id @param {number} serial of the stored signal */
  accepted(id, serial) {
    this.#conclude({ id, status: "accepted", serial }, null);
  }

  /**
   * Record a refusal. A retryable one keeps the signal waiting; a permanent one keeps written text until it is
   * dismissed.
   * @param {string} id
   * @param {ProtocolError} error
   * @param {number} now ms
   * @param {number} random from 0 to 1
   */
  rejected(id, error, now, random) {
    const signal = this.#unanswered(id);
    if (!signal) return;
    if (error.retryable) return this.#postpone(signal, now, random);
    const { kind, payload, at } = signal;
    this.#conclude({ id, status: "rejected", error }, isWritten(signal) ? { id, kind, payload, at, error } : null);
  }

  /** @param {Signal} signal @param {number} now @param {number} random */
  #postpone(signal, now, random) {
    const refusals = signal.refusals + 1;
    update(signal, { state: "waiting", refusals, due: now + backoffDelay(refusals, random) });
    this.onchange([signal.id]);
  }

  /** Fail every signal and keep none: the session is gone. @param {ProtocolError} error */
  failAll(error) {
    this.#ended = error;
    for (const { id, state } of this.signals) {
      if (state === "rejected") this.#shared.forget(id);
      else this.#conclude({ id, status: "rejected", error: { ...error, retryable: false } }, null);
    }
    this.#releaseLock();
  }

  /** Remove a failed signal. @param {string} id */
  dismiss(id) {
    if (this.#signals.get(id)?.state !== "rejected") return;
    this.#shared.forget(id);
    this.#drop(id);
  }

  /** @param {string} id */
  #drop(id) {
    if (this.#signals.delete(id)) this.onchange([id]);
  }

  /** @param {Receipt} receipt @param {KeptSignal|null} kept in its place */
  #conclude(receipt, kept) {
    if (!this.#unanswered(receipt.id)) return;
    this.#shared.settle(receipt, kept);
    this.#settle(receipt);
  }

  /** @param {Receipt} receipt */
  #settle(receipt) {
    const signal = this.#unanswered(receipt.id);
    if (!signal) return;
    if (receipt.status === "accepted") update(signal, { state: "accepted", serial: receipt.serial });
    else if (isWritten(signal)) update(signal, { state: "rejected", error: receipt.error });
    else this.#signals.delete(signal.id);
    this.onsettled(receipt);
  }

  /** Remove accepted signals up to this serial: the session shows them. @param {number} serial @returns {string[]} ids */
  forget(serial) {
    const shown = this.signals.filter(({ state, serial: stored }) => state === "accepted" && stored <= serial);
    return shown.map(({ id }) => (this.#signals.delete(id), id));
  }

  /** Close this tab's end; unsent signals are left to other tabs, or to the next visit. */
  close() {
    this.#releaseLock();
    this.#shared.close();
  }

  /** Return the signal if it has no final answer yet. @param {string} id */
  #unanswered(id) {
    const signal = this.#signals.get(id);
    return signal && isUnanswered(signal) ? signal : null;
  }
}

/** @param {Signal} signal */
function isUnanswered({ state }) {
  return state === "waiting" || state === "sent";
}

/** @param {{kind: string}} signal */
export function isDecision({ kind }) {
  return !WORK.includes(kind);
}

// Statuses of a signal that nothing comes of.
export const REFUSED = ["rejected", "expired", "failed"];

/** @param {{status: string}} signal whether something may still come of it */
export function isUnfinished({ status }) {
  return status !== "applied" && !REFUSED.includes(status);
}

/** @param {Signal} signal @returns {UnsentMessage} */
export function asMessage({ id, state, at, payload, error, revision }) {
  const reason = error?.message ?? null;
  const status = STATUSES[state];
  const { parts, metadata = null } = payload;
  return { id, role: "user", status, reason, metadata, created_at: at, parts, revision };
}

/** @param {Signal} signal @returns {UnsentSignal} */
export function asSignal({ id, kind, state, at, payload, error }) {
  const { code = null, message: reason = null } = error ?? {};
  const { message = null } = payload;
  return { id, kind, status: STATUSES[state], code, reason, actor: null, at, message, payload };
}

/** @param {Signal} signal */
function isWritten({ payload }) {
  return "parts" in payload;
}

/** @param {Signal} signal @param {Partial<Signal>} fields */
function update(signal, fields) {
  Object.assign(signal, fields, { revision: nextRevision() });
}

// crypto.randomUUID does not exist on pages served over plain HTTP.
export function newId() {
  return `s_${crypto.getRandomValues(new Uint32Array(4)).join("-")}`;
}
