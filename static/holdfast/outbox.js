// A session's signals that aren't confirmed yet, sent by one tab at a time: what gives an agent work in order, one on its
// way at a time; what decides about work under way at once, whatever waits before it.

import { backoffDelay } from "./backoff.js";
import { nextRevision } from "./message.js";
import { byteLength } from "./protocol.js";

/** @typedef {import("./message.js").Message} Message */
/** @typedef {import("./protocol.js").ProtocolError} ProtocolError */
/** @typedef {import("./protocol.js").Receipt} Receipt */
/** @typedef {import("./protocol.js").SignalRecord} SignalRecord */
/** @typedef {import("./shared-signals.js").SharedSignals} SharedSignals */

// A receipt that takes longer was lost by a server that died between storing and answering; the id makes a second
// sending harmless.
export const RECEIPT_TIMEOUT_MS = 10_000;
// The tab that holds the lock may be asleep. Sending twice is harmless, waiting for ever isn't.
export const LOCK_PATIENCE_MS = 5_000;
// What is kept of one session, with what was refused and not dismissed: of what goes in order, and of decisions.
export const MOST_SIGNALS = 100;
export const MOST_BYTES = 1_000_000;

// What gives an agent work. All other kinds decide about work under way, and each about something else.
const WORK = ["message", "steer", "retry"];

/**
 * A signal as it is kept over a reload and told to other tabs.
 * @typedef {object} KeptSignal
 * @property {string} id
 * @property {SignalRecord["kind"]} kind
 * @property {Record<string, any>} payload
 * @property {number} at when it was given, ms; what orders them
 * @property {ProtocolError|null} error why it was refused for good
 */

/**
 * @typedef {object} Progress
 * @property {"waiting"|"sent"|"accepted"|"rejected"} state
 * @property {number} due when to send it (again), ms
 * @property {number} refusals retryable rejections so far
 * @property {number} serial where it was stored, once accepted; 0 before
 * @property {number} revision grows with each change
 */

/** @typedef {KeptSignal & Progress} Signal */

/**
 * A message of one's own that the session doesn't hold yet.
 * @typedef {Pick<Message, "id"|"role"|"reason"|"metadata"|"created_at"|"parts"|"revision">
 *   & {status: "waiting"|"sending"|"failed"}} UnsentMessage
 */

/**
 * Another signal of one's own that the session doesn't hold yet.
 * @typedef {Omit<SignalRecord, "status"|"actor"> & {status: UnsentMessage["status"], actor: null}} UnsentSignal
 */

/** @type {Record<Signal["state"], UnsentMessage["status"]>} */
const STATUSES = { waiting: "waiting", sent: "sending", accepted: "sending", rejected: "failed" };

export class Outbox {
  /** Signals with these ids came, went or changed, or this tab has the lock. @type {(ids: string[]) => void} */
  onchange = () => {};
  /** A signal has its final answer, which another tab may have got. @type {(receipt: Receipt) => void} */
  onsettled = () => {};

  #shared;
  /** @type {Map<string, Signal>} in order */
  #signals = new Map();
  /** When this tab may send, ms: Infinity before it asks, a bound while it waits for the lock, 0 while it holds it. */
  #maySendAt = Infinity;
  /** @type {ProtocolError|null} why nothing can be sent any more */
  #ended = null;

  /** @param {SharedSignals} shared with the other tabs, and kept over a reload */
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
    // Later than the one before it even within a millisecond, and when the clock was set back.
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
    if (payloads.length <= MOST_SIGNALS && byteLength(JSON.stringify(payloads)) <= MOST_BYTES) return;
    const limits = `${MOST_SIGNALS} messages or ${MOST_BYTES / 1e6} MB`;
    const message = `No more than ${limits} can wait to be sent: wait until they are, or dismiss what was refused`;
    throw Object.assign(new Error(message), { code: "outbox_full", retryable: true });
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

  /** Those that wait for none before them. */
  get #heads() {
    const open = this.signals.filter(isUnanswered);
    const first = open.find((signal) => !isDecision(signal));
    return open.filter((signal) => signal === first || isDecision(signal));
  }

  /** When `next` has something, ms; Infinity when it needs an event first. */
  get deadline() {
    return Math.max(this.#maySendAt, Math.min(...this.#heads.map(({ due }) => due)));
  }

  /**
   * A signal to send now, marked as sent; null when there is none, or before this tab may send.
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

  /** What was on its way may have been lost: it is sent again, with the same id. Meanwhile another tab may send. */
  disconnected() {
    const sent = this.signals.filter(({ state }) => state === "sent");
    for (const signal of sent) update(signal, { state: "waiting", due: 0 });
    this.#releaseLock();
    if (sent.length) this.onchange(sent.map(({ id }) => id));
  }

  /** @param {string} id @param {number} serial where it is stored */
  accepted(id, serial) {
    this.#conclude({ id, status: "accepted", serial }, null);
  }

  /**
   * A retryable refusal keeps it waiting. One for good keeps what a person wrote to be seen, until it is dismissed.
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

  /** The session is gone: nothing of it is kept. @param {ProtocolError} error */
  failAll(error) {
    this.#ended = error;
    for (const { id, state } of this.signals) {
      if (state === "rejected") this.#shared.forget(id);
      else this.#conclude({ id, status: "rejected", error: { ...error, retryable: false } }, null);
    }
    this.#releaseLock();
  }

  /** Forget one that was refused. @param {string} id */
  dismiss(id) {
    if (this.#signals.get(id)?.state !== "rejected") return;
    this.#shared.forget(id);
    this.#drop(id);
  }

  /** @param {string} id */
  #drop(id) {
    if (this.#signals.delete(id)) this.onchange([id]);
  }

  /** @param {Receipt} receipt @param {KeptSignal|null} kept of it from now on */
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

  /** Forget what was accepted up to this serial: it is in the session. @param {number} serial */
  forget(serial) {
    for (const { id, state, serial: stored } of this.signals) {
      if (state === "accepted" && stored <= serial) this.#signals.delete(id);
    }
  }

  /** Leave what isn't sent to other tabs, and to the next time. */
  close() {
    this.#releaseLock();
    this.#shared.close();
  }

  /** The signal while it has no final answer. @param {string} id */
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

/** @param {Signal} signal @returns {UnsentMessage} */
export function asMessage({ id, state, at, payload, error, revision }) {
  const reason = error?.message ?? null;
  const status = STATUSES[state];
  return { id, role: "user", status, reason, metadata: null, created_at: at, parts: payload.parts, revision };
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
