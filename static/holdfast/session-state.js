// The client's copy of one session: applies each frame exactly once, detects gaps, and returns the frames to send.
// Pure.

import { applyPatch, begins, fold, held } from "./fold.js";
import { HELD_MESSAGES, parseCursor } from "./protocol.js";
import { backoffDelay } from "./backoff.js";

/** @typedef {import("./fold.js").Event} Event */
/** @typedef {import("./protocol.js").Frame} Frame */
/** @typedef {import("./protocol.js").Limits} Limits */
/** @typedef {import("./message.js").FoldedMessage} Message */
/** @typedef {import("./protocol.js").SignalRecord} SignalRecord */

// Deadline for the answer to an attach.
export const ATTACH_TIMEOUT_MS = 10_000;
// Grace for a frame that a heartbeat's tail has overtaken.
export const TAIL_GRACE_MS = 1_000;

/** @typedef {{serial: number, signal: SignalRecord}} SignalEvent */
/**
 * @typedef {object} StateUpdate
 * @property {Frame[]} send frames to send
 * @property {Set<string>} changed ids of changed messages
 * @property {Set<string>} signals ids of changed signals
 * @property {string} [reset] why the state was replaced
 * @property {{events: number, ms: number}} [caughtUp] size and duration of a resume
 * @property {Event[]|null} [events] those applied, of messages; null if the state came without its events
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
  /** Whether it has replaced messages too. */
  keepsReplaced;
  /**
   * While earlier messages are loaded: serials of the latest changes of messages that are not here, by id.
   * @type {Map<string, number>|null}
   */
  missed = null;

  #id;
  /** @type {Pick<Limits, "ack_bytes"|"ack_ms">} */
  #limits = { ack_bytes: Infinity, ack_ms: Infinity };
  /** @type {{since: number, cursor: string|null}|null} the attach in progress */
  #attaching = null;
  #attachDue = Infinity;
  #refusals = 0;
  /** @type {{cursor: string, due: number}|null} a tail not reached yet, and the deadline for its frames */
  #tail = null;
  #unackedBytes = 0;
  #ackDue = Infinity;

  /** @param {string} id of the session @param {boolean} [keepReplaced] whether it has replaced messages too */
  constructor(id, keepReplaced = false) {
    this.#id = id;
    this.keepsReplaced = keepReplaced;
  }

  get serial() {
    return this.cursor === null ? 0 : parseCursor(this.cursor).serial;
  }

  /** Attach on a new connection; what the old one owed is void. @param {Limits} limits @param {number} now ms */
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

  /** The frame that asks for everything missing here. */
  get attachFrame() {
    return { type: "attach", session: this.#id, ...this.#position(), ...(this.keepsReplaced && { replaced: true }) };
  }

  /**
   * Retry the attach later: the server refused it for now.
   * @param {number} now ms
   * @param {number} random from 0 to 1
   * @param {number} [retryAfterMs] as the server says
   */
  attachRefused(now, random, retryAfterMs = 0) {
    this.#refusals += 1;
    this.#attachDue = now + Math.max(backoffDelay(this.#refusals, random), retryAfterMs);
  }

  get isAttaching() {
    return this.#attaching !== null;
  }

  /** Attach without a cursor, to replace the state. @param {number} now ms */
  attachAfresh(now) {
    this.cursor = null;
    return this.attach(now);
  }

  /** @param {Frame} frame @param {number} bytes of the frame @param {number} now ms @returns {StateUpdate} */
  receive(frame, bytes, now) {
    if (frame.type === "attached") return this.#attached(frame, now);
    if (frame.type === "events") return this.#events(frame, bytes, now);
    return this.#noticeTail(frame.tails[this.#id], now);
  }

  /** Time of the next `tick`, ms. */
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
    if (frame.resumed && this.cursor === null) return stateUpdate(); // the answer to an earlier attach
    const asked = this.#attaching;
    this.#attaching = null;
    this.#attachDue = Infinity;
    this.#refusals = 0;
    if (frame.title !== undefined) this.title = frame.title;
    if (!frame.resumed) return this.#replaceState(frame);
    const ahead = this.#compare(frame.cursor);
    if (ahead !== null && ahead < 0) return stateUpdate([this.#ack()]); // live events are already ahead of it
    const before = this.serial;
    try {
      this.#applyState(frame, this);
    } catch {
      // The patch builds on parts that are not here: ask for one that does not.
      return asked ? this.attachAfresh(now) : this.attach(now);
    }
    const result = stateUpdate([this.#ack()], [...ids(frame.messages), ...(frame.replaced ?? [])], ids(frame.signals));
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
    for (const patch of frame.messages) {
      const have = this.messages.get(patch.id);
      // One that was begun before and is not here is older than the loaded messages.
      if (have || !frame.resumed || !patch.replaced_by || patch.first_serial > this.serial)
        messages.set(patch.id, applyPatch(have, patch));
      else this.missed?.set(patch.id, patch.last_serial);
    }
    for (const id of frame.replaced ?? []) {
      messages.delete(id);
      this.missed?.set(id, Infinity); // it is out of the history from now on
    }
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
      return this.attachAfresh(now); // this fold fails where the server's did not
    }
    if (missing.length) this.#advance(frame.cursor);
    const send = this.#unackedBytes >= this.#limits.ack_bytes ? [this.#ack()] : [];
    const changed = missing.flatMap((event) => ("signal" in event ? [] : [event.message, ...(event.replaces ?? [])]));
    const signals = missing.flatMap((event) => ("signal" in event ? event.signal.id : []));
    return { ...stateUpdate(send, changed, signals), events: missing.flatMap((event) => ("signal" in event ? [] : event)) };
  }

  /** @param {Event|SignalEvent} event */
  #apply(event) {
    if ("signal" in event) return void this.signals.set(event.signal.id, event.signal);
    const { serial, message: id, chunk, replaces = [] } = event;
    for (const replaced of replaces) if (!this.messages.has(replaced)) this.missed?.set(replaced, serial);
    const message = this.messages.get(id);
    // One that is not here is older than the loaded ones. One that was loaded since may have it already.
    if (!message && !begins(chunk)) this.missed?.set(id, serial);
    else if (!message || message.last_serial < serial) fold(this.messages, event, this.keepsReplaced);
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

  /** Events by which a cursor is ahead of this state's; null if the epochs differ. @param {string} cursor */
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
