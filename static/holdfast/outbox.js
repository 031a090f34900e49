// A session's signals that aren't confirmed yet: in order, one on its way at a time, and safe over a reload.

import { backoffDelay } from "./backoff.js";

// A receipt that takes longer was lost by a server that died between storing and answering; the id makes a second
// sending harmless.
export const RECEIPT_TIMEOUT_MS = 10_000;

/**
 * @typedef {object} Signal
 * @property {string} id
 * @property {string} kind
 * @property {object} payload
 * @property {number} at when it was given, ms
 * @property {"waiting"|"sent"|"accepted"|"rejected"} state
 * @property {number} due when to send it (again), ms
 * @property {number} refusals retryable rejections so far
 * @property {number|null} serial where it was stored, once accepted
 * @property {import("./protocol.js").ProtocolError|null} error why it never will be, once rejected
 */

export class Outbox {
  #storage;
  /** @type {Map<string, Signal>} */
  #signals = new Map();

  /** @param {ReturnType<typeof signalStorage>} storage */
  constructor(storage) {
    this.#storage = storage;
    for (const saved of storage.load()) this.#put(saved);
  }

  /** @param {{id: string, kind: string, payload: object}} signal @param {number} now ms */
  add({ id, kind, payload }, now) {
    // Later than the one before it even within a millisecond: it is what a reload sorts by.
    const at = Math.max(now, (this.signals.at(-1)?.at ?? 0) + 1);
    const saved = { id, kind, payload, at };
    this.#storage.save(saved);
    this.#put(saved);
  }

  #put(saved) {
    this.#signals.set(saved.id, { ...saved, state: "waiting", due: 0, refusals: 0, serial: null, error: null });
  }

  /** @returns {Signal[]} in order */
  get signals() {
    return [...this.#signals.values()];
  }

  get #head() {
    return this.signals.find(isOpen);
  }

  /** When `next` has something, ms; Infinity when it needs an event first. */
  get deadline() {
    return this.#head?.due ?? Infinity;
  }

  /** The signal to send now, marked as sent; null when there is none. Later ones wait for its receipt. */
  next(now) {
    const head = this.#head;
    if (!head || head.due > now) return null;
    head.state = "sent";
    head.due = now + RECEIPT_TIMEOUT_MS;
    return head;
  }

  /** What was on its way may have been lost: it is sent again, with the same id. */
  disconnected() {
    for (const signal of this.#signals.values()) {
      if (signal.state === "sent") Object.assign(signal, { state: "waiting", due: 0 });
    }
  }

  /** @param {string} id @param {number} serial where it is stored @returns {Signal|null} null if it was settled before */
  accepted(id, serial) {
    return this.#settle(id, { state: "accepted", serial });
  }

  /**
   * A retryable refusal keeps it waiting.
   * @param {string} id @param {import("./protocol.js").ProtocolError} error
   * @returns {Signal|null} null unless it was given up now
   */
  rejected(id, error, now, random) {
    const signal = this.#signals.get(id);
    if (!error.retryable || !signal) return this.#settle(id, { state: "rejected", error });
    signal.refusals += 1;
    Object.assign(signal, { state: "waiting", due: now + backoffDelay(signal.refusals, random) });
    return null;
  }

  #settle(id, outcome) {
    const signal = this.#signals.get(id);
    if (!signal || !isOpen(signal)) return null;
    this.#storage.remove(id);
    return Object.assign(signal, outcome);
  }

  /** Forget what was accepted up to this serial: it is in the session. */
  forget(serial) {
    for (const { id, state, serial: stored } of this.signals) {
      if (state === "accepted" && stored <= serial) this.#signals.delete(id);
    }
  }
}

const isOpen = ({ state }) => state === "waiting" || state === "sent";

/**
 * A session's signals in a `Storage`. Each has its own key, so that two tabs never overwrite each other's; without a
 * usable storage (private mode, full) they live as long as the page.
 * @param {Storage|null} storage @param {string} session its id
 */
export function signalStorage(storage, session) {
  const prefix = `holdfast.outbox.${session}.`;
  return {
    save: (signal) => attempt(() => storage.setItem(prefix + signal.id, JSON.stringify(signal))),
    remove: (id) => attempt(() => storage.removeItem(prefix + id)),
    load: () => attempt(() => readSignals(storage, prefix)) ?? [],
  };
}

function readSignals(storage, prefix) {
  const keys = Array.from({ length: storage.length }, (_, index) => storage.key(index));
  const read = (key) => attempt(() => JSON.parse(storage.getItem(key)));
  const signals = keys.filter((key) => key.startsWith(prefix)).map(read);
  return signals.filter((signal) => signal?.id).sort((a, b) => a.at - b.at);
}

function attempt(action) {
  try {
    return action();
  } catch {
    return undefined;
  }
}
