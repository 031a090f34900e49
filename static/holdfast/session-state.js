// A page's copy of one session: it applies frames exactly once, notices what is missing, and says what to send.

import { applyPatch, begins, fold, held } from "./fold.js";
import { HELD_MESSAGES, parseCursor } from "./protocol.js";
import { backoffDelay } from "./backoff.js";

/** @typedef {import("./fold.js").Event} Event */
/** @typedef {import("./protocol.js").Frame} Frame */
/** @typedef {import("./protocol.js").Limits} Limits */
/** @typedef {import("./message.js").FoldedMessage} Message */
/** @typedef {import("./protocol.js").SignalRecord} SignalRecord */

// An answer to an attach that takes longer was lost by the server.
export const ATTACH_TIMEOUT_MS = 10_000;
// A frame may still be on its way when a heartbeat overtakes it.
export const TAIL_GRACE_MS = 1_000;

/** @typedef {{serial: number, signal: SignalRecord}} SignalEvent */
/**
 * @typedef {object} StateUpdate
 * @property {Frame[]} send
 * @property {Set<string>} changed ids of messages
 * @property {Set<string>} signals ids of those that changed
 * @property {string} [reset] why the state was replaced
 * @property {{events: number, ms: number}} [caughtUp] what a resume brought
 */

export class SessionState {
  /** @type {Map<string, Message>} in the order of first_serial */
  messages = new Map();
  /** @type {Map<string, SignalRecord>} */
  signals = new Map();
  /** @type {string|null} */
  cursor = null;
  title = "";
  older = false;

  #id;
  /** @type {Pick<Limits, "ack_bytes"|"ack_ms">} */
  #limits = { ack_bytes: Infinity, ack_ms: Infinity };
  /** @type {{since: number, cursor: string|null}|null} the attach that waits for its answer */
  #attaching = null;
  #attachDue = Infinity;
  #refusals = 0;
  /** @type {{cursor: string, due: number}|null} a tail that no frame has brought yet, and until when one should */
  #tail = null;
  #unackedBytes = 0;
  #ackDue = Infinity;

  /** @param {string} id of the session */
  constructor(id) {
    this.#id = id;
  }

  get serial() {
    return this.cursor === null ? 0 : parseCursor(this.cursor).serial;
  }

  /** A new connection: whatever the old one still owed doesn't count. @param {Limits} limits @param {number} now ms */
  connected(limits, now) {
    this.#limits = limits;
    this.#refusals = 0;
    this.#settleAck();
    return this.attach(now);
  }

  /** @param {number} now ms @returns {StateUpdate} */
  attach(now) {
    this.#attaching = { since: now, cursor: this.cursor };
    this.#attachDue = now + ATTACH_TIMEOUT_MS;
    this.#tail = null;
    return stateUpdate([this.attachFrame]);
  }

  /** What asks for everything that isn't here. */
  get attachFrame() {
    return { type: "attach", session: this.#id, ...this.#position() };
  }

  /** The server refused the attach, for now. @param {number} now ms @param {number} random from 0 to 1 */
  attachRefused(now, random) {
    this.#refusals += 1;
    this.#attachDue = now + backoffDelay(this.#refusals, random);
  }

  get isAttaching() {
    return this.#attaching !== null;
  }

  /** Start over with what the server has now. @param {number} now ms */
  attachAnew(now) {
    this.cursor = null;
    return this.attach(now);
  }

  /** @param {Frame} frame @param {number} bytes of the frame @param {number} now ms @returns {StateUpdate} */
  receive(frame, bytes, now) {
    if (frame.type === "attached") return this.#attached(frame, now);
    if (frame.type === "events") return this.#events(frame, bytes, now);
    return this.#noticeTail(frame.tails[this.#id], now);
  }

  /** When `tick` has something to do, ms. */
  get deadline() {
    return Math.min(this.#askDue, this.#ackDue);
  }

  get #askDue() {
    return Math.min(this.#attachDue, this.#tail?.due ?? Infinity);
  }

  /** @param {number} now ms @returns {StateUpdate} */
  tick(now) {
    if (now >= this.#askDue) return this.attach(now);
    return now >= this.#ackDue ? stateUpdate([this.#ack()]) : stateUpdate();
  }

  /** @param {Frame} frame @param {number} now @returns {StateUpdate} */
  #attached(frame, now) {
    if (frame.resumed && this.cursor === null) return stateUpdate(); // answers an attachment before this one
    const asked = this.#attaching;
    this.#attaching = null;
    this.#attachDue = Infinity;
    this.#refusals = 0;
    if (frame.title !== undefined) this.title = frame.title;
    if (!frame.resumed) return this.#replaceState(frame);
    const ahead = this.#compare(frame.cursor);
    if (ahead !== null && ahead < 0) return stateUpdate([this.#ack()]); // events have brought more meanwhile
    const before = this.serial;
    try {
      this.#applyState(frame, this);
    } catch {
      // It builds on what isn't here: another one is asked for, that doesn't.
      return asked ? this.attachAnew(now) : this.attach(now);
    }
    const result = stateUpdate([this.#ack()], ids(frame.messages), ids(frame.signals));
    if (asked?.cursor) result.caughtUp = { events: this.serial - before, ms: now - asked.since };
    return result;
  }

  /** @param {Frame} frame @returns {StateUpdate} */
  #replaceState(frame) {
    const [messages, signals] = [this.messages.keys(), this.signals.keys()];
    this.older = frame.older;
    this.#applyState(frame, { messages: [], signals: [] });
    const result = stateUpdate([this.#ack()], [...messages, ...ids(frame.messages)], [...signals, ...ids(frame.signals)]);
    return frame.reason === null ? result : { ...result, reset: frame.reason };
  }

  /**
   * @param {Frame} frame
   * @param {{messages: Iterable<[string, Message]>, signals: Iterable<[string, SignalRecord]>}} kept
   */
  #applyState(frame, kept) {
    const messages = new Map(kept.messages);
    for (const patch of frame.messages) messages.set(patch.id, applyPatch(this.messages.get(patch.id), patch));
    this.messages = new Map([...messages].sort(([, a], [, b]) => a.first_serial - b.first_serial));
    this.signals = new Map(kept.signals);
    for (const record of frame.signals) this.signals.set(record.id, record);
    this.#advance(frame.cursor);
  }

  /** @param {Frame} frame @param {number} bytes @param {number} now @returns {StateUpdate} */
  #events(frame, bytes, now) {
    if (this.cursor === null) return stateUpdate();
    this.#received(bytes, now);
    /** @type {(Event|SignalEvent)[]} */
    const events = frame.events;
    const missing = events.filter(({ serial }) => serial > this.serial);
    const gap = this.#compare(frame.cursor) === null || missing[0]?.serial > this.serial + 1;
    if (gap) return this.isAttaching ? stateUpdate() : this.attach(now);
    try {
      for (const event of missing) this.#apply(event);
    } catch {
      return this.attachAnew(now); // this copy can't take it, the server's fold could
    }
    if (missing.length) this.#advance(frame.cursor);
    const send = this.#unackedBytes >= this.#limits.ack_bytes ? [this.#ack()] : [];
    const changed = missing.flatMap((event) => ("signal" in event ? [] : event.message));
    const signals = missing.flatMap((event) => ("signal" in event ? event.signal.id : []));
    return stateUpdate(send, changed, signals);
  }

  /** @param {Event|SignalEvent} event */
  #apply(event) {
    if ("signal" in event) this.signals.set(event.signal.id, event.signal);
    // What isn't here is older than the messages that were asked for.
    else if (begins(event.chunk) || this.messages.has(event.message)) fold(this.messages, event);
  }

  /** @param {string|undefined} tail @param {number} now @returns {StateUpdate} */
  #noticeTail(tail, now) {
    if (tail === undefined || this.cursor === null || this.isAttaching) return stateUpdate();
    const ahead = this.#compare(tail);
    if (ahead === null) return this.attach(now);
    if (ahead > 0) this.#tail ??= { cursor: tail, due: now + TAIL_GRACE_MS };
    return stateUpdate();
  }

  /** @param {string} cursor */
  #advance(cursor) {
    this.cursor = cursor;
    if (this.#tail && (this.#compare(this.#tail.cursor) ?? 0) <= 0) this.#tail = null;
  }

  /** How many events a cursor is ahead of this one; null where they can't be compared. @param {string} cursor */
  #compare(cursor) {
    const [mine, other] = [parseCursor(this.cursor ?? ""), parseCursor(cursor)];
    return mine.epoch === other.epoch ? other.serial - mine.serial : null;
  }

  /** @param {number} bytes @param {number} now */
  #received(bytes, now) {
    this.#unackedBytes += bytes;
    this.#ackDue = Math.min(this.#ackDue, now + this.#limits.ack_ms);
  }

  /** @returns {Frame} */
  #ack() {
    this.#settleAck();
    return { type: "ack", session: this.#id, ...this.#position() };
  }

  #settleAck() {
    this.#unackedBytes = 0;
    this.#ackDue = Infinity;
  }

  #position() {
    if (this.cursor === null) return {};
    const streaming = [...this.messages.values()].filter(({ status }) => status === "streaming").slice(-HELD_MESSAGES);
    if (streaming.length === 0) return { cursor: this.cursor };
    return { cursor: this.cursor, held: Object.fromEntries(streaming.map((message) => [message.id, held(message)])) };
  }
}

/** @param {Frame[]} send @param {Iterable<string>} changed @param {Iterable<string>} signals @returns {StateUpdate} */
function stateUpdate(send = [], changed = [], signals = []) {
  return { send, changed: new Set(changed), signals: new Set(signals) };
}

/** @param {{id: string}[]} all */
function ids(all) {
  return all.map(({ id }) => id);
}
