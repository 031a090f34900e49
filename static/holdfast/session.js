// One followed session as a page uses it: what it holds, what is on its way, and how to send.

import { Outbox } from "./outbox.js";
import { byteLength, errorOf, wellFormed } from "./protocol.js";
import { Replica } from "./replica.js";

/** @typedef {import("./message.js").Message} Message */
/** @typedef {import("./outbox.js").Signal} Signal */
/** @typedef {import("./replica.js").Outcome} Outcome */
/** @typedef {import("./shared-signals.js").SharedSignals} SharedSignals */
/** @typedef {import("./protocol.js").Frame} Frame */
/** @typedef {import("./protocol.js").Limits} Limits */
/** @typedef {import("./protocol.js").ProtocolError} ProtocolError */
/** @typedef {import("./protocol.js").Receipt} Receipt */

/**
 * A message of one's own that the session doesn't hold yet.
 * @typedef {Pick<Message, "id"|"role"|"reason"|"metadata"|"created_at"|"parts"|"revision">
 *   & {status: "waiting"|"sending"|"failed"}} UnsentMessage
 */

/**
 * An `EventTarget` with what each of its events has as its `detail`, by the event's name.
 * @template {object} Details
 * @typedef {{
 *   addEventListener<Name extends keyof Details & string>(type: Name,
 *     listener: (event: CustomEvent<Details[Name]>) => void, options?: boolean | AddEventListenerOptions): void,
 *   removeEventListener<Name extends keyof Details & string>(type: Name,
 *     listener: (event: CustomEvent<Details[Name]>) => void, options?: boolean | EventListenerOptions): void,
 *   dispatchEvent(event: Event): boolean,
 * }} EventsOf
 */

/**
 * @typedef {object} SessionEvents
 * @property {{messages: Set<string>}} change ids of messages that came, went or changed
 * @property {string} reset why the state was replaced
 * @property {{events: number, ms: number}} caught-up what a resume brought, and how long that took
 * @property {Receipt} receipt of a signal
 */

/**
 * A followed session. It dispatches `SessionEvents`.
 *
 * @example
 * const session = holdfast.session(id);
 * session.addEventListener("change", () => render(session.messages));
 * await session.send("Hello");
 */
export class Session extends /** @type {new () => EventsOf<SessionEvents>} */ (EventTarget) {
  /** Whether its state has come. */
  ready = false;
  /** @type {ProtocolError|null} why it can't be read any more */
  gone = null;
  /** @type {{events: number, ms: number}|null} what the latest resume brought, and how long that took */
  caughtUp = null;

  #replica;
  #outbox;
  #link;
  /** @type {Limits|null} */
  #limits = null;
  /** @type {Map<string, {resolve: Function, reject: Function}>} of sends that wait for their receipt */
  #waiting = new Map();

  /**
   * @param {string} id
   * @param {{now: () => number, random: () => number, share: (session: string) => SharedSignals,
   *   schedule: () => void, post: (frames: Frame[]) => void, leave: (session: Session) => void}} link to the connection
   */
  constructor(id, link) {
    super();
    this.id = id;
    this.#link = link;
    this.#replica = new Replica(id);
    this.#outbox = new Outbox(link.share(id));
    this.#outbox.onchange = (ids) => this.#outboxChanged(ids);
    this.#outbox.onsettled = (receipt) => this.#settled(receipt);
  }

  /**
   * In order. A person's own that the session doesn't hold yet are last: `waiting` to be sent, `sending`, or `failed`:
   * refused for good, with the reason.
   * @returns {(Message|UnsentMessage)[]}
   */
  get messages() {
    const held = this.#replica.messages;
    const own = this.#outbox.signals.filter(({ id, kind }) => kind === "message" && !held.has(id));
    return [...held.values(), ...own.map(asMessage)];
  }

  get title() {
    return this.#replica.title;
  }

  /** Whether the history endpoint has messages before these. */
  get older() {
    return this.#replica.older;
  }

  /**
   * Send a person's message. It is kept until the server has it, over a lost connection and a reload, and when this tab
   * is closed another sends it.
   * @param {string} text
   * @returns {Promise<import("./protocol.js").Acceptance>} rejects with `code` and `message` when the server refuses it
   *   for good, and with `outbox_full`, keeping nothing, when too much waits already
   */
  async send(text) {
    if (this.gone) throw asError(this.gone);
    const id = newId();
    const payload = { parts: [{ type: "text", text: wellFormed(text) }] };
    this.#outbox.add({ id, kind: "message", payload }, this.#link.now());
    const receipt = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#outboxChanged([id]);
    return receipt;
  }

  /** Forget a message of one's own that has `failed`, in all tabs. @param {string} id */
  dismiss(id) {
    this.#outbox.dismiss(id);
  }

  /** Stop following. What waits to be sent is left to other tabs, and kept for the next time. */
  detach() {
    this.#link.leave(this);
    this.#outbox.close();
  }

  // The rest is for the connection.

  /** @param {Limits} limits */
  connected(limits) {
    this.#limits = limits;
    if (this.gone) return;
    this.#take(this.#replica.connected(limits, this.#link.now()));
    this.#flush();
  }

  /**
   * What to ask a request for; null when there is nothing to ask. `returning`: its answer is a catch-up.
   * @param {boolean} returning
   */
  attachFrame(returning) {
    if (this.gone) return null;
    return returning ? this.#replica.attach(this.#link.now()).send[0] : this.#replica.attachFrame;
  }

  disconnected() {
    this.#limits = null;
    this.#outbox.disconnected();
  }

  /** @param {Frame} frame @param {number} bytes */
  receive(frame, bytes) {
    if (this.gone) return;
    if (frame.type === "receipt") this.#receipt(frame);
    else if (frame.type === "detached") this.#end(frame.error);
    else if (frame.type === "error") this.#error(frame);
    else this.#take(this.#replica.receive(frame, bytes, this.#link.now()), frame.type === "attached");
    // All is here: what another tab had accepted and isn't, was stored in a database that is no more.
    if (frame.type === "heartbeat" && frame.tails[this.id] === this.#replica.cursor) this.#outbox.forget(Infinity);
    this.#flush();
  }

  /** When `tick` has something to do, ms. */
  get deadline() {
    return this.#isLive ? Math.min(this.#replica.deadline, this.#outbox.deadline) : Infinity;
  }

  tick() {
    this.#take(this.#replica.tick(this.#link.now()));
    this.#flush();
  }

  /** @param {Outcome} outcome @param {boolean} [attached] whether the state has come with it */
  #take({ send, changed, reset, caughtUp }, attached = false) {
    if (send.length) this.#link.post(send);
    // After a reset, a serial that was accepted before may never be reached.
    this.#outbox.forget(reset === undefined ? this.#replica.serial : Infinity);
    this.ready ||= attached;
    this.caughtUp = caughtUp ?? this.caughtUp;
    if (reset !== undefined) this.#tell("reset", reset);
    if (changed.size || attached) this.#changed(changed);
    if (caughtUp) this.#tell("caught-up", caughtUp);
  }

  get #isLive() {
    return this.#limits !== null && !this.gone;
  }

  #flush() {
    const signal = this.#isLive ? this.#outbox.next(this.#link.now()) : null;
    if (signal) this.#sendSignal(signal);
  }

  /** @param {string[]} ids of messages */
  #outboxChanged(ids) {
    this.#changed(ids);
    this.#flush();
    this.#link.schedule();
  }

  /** @param {Signal} signal */
  #sendSignal({ id, kind, payload }) {
    const frame = { type: "signal", session: this.id, id, kind, payload };
    const tooLarge = byteLength(JSON.stringify(frame)) > (this.#limits?.frame_bytes ?? Infinity);
    // The server would close the connection for it, again and again.
    if (tooLarge) this.#reject(id, TOO_LARGE);
    else this.#link.post([frame]);
    this.#changed([id]);
  }

  /** @param {Frame} frame */
  #receipt({ id, status, serial, error }) {
    if (status === "rejected") this.#reject(id, error);
    else this.#outbox.accepted(id, serial);
  }

  /** @param {string} id @param {ProtocolError} error */
  #reject(id, error) {
    this.#outbox.rejected(id, error, this.#link.now(), this.#link.random());
  }

  /** @param {Receipt} receipt */
  #settled(receipt) {
    const { resolve, reject } = this.#waiting.get(receipt.id) ?? {};
    this.#waiting.delete(receipt.id);
    if (receipt.status === "rejected") reject?.(asError(receipt.error));
    else resolve?.(receipt);
    this.#outbox.forget(this.#replica.serial);
    this.#tell("receipt", receipt);
    this.#outboxChanged([receipt.id]);
  }

  /** @param {Frame} frame */
  #error(frame) {
    const { id } = frame;
    const error = errorOf(frame);
    if (error.code === "not_attached") this.#take(this.#replica.attach(this.#link.now()));
    else if (error.code === "bad_cursor") this.#take(this.#replica.attachAnew(this.#link.now()));
    else if (id !== undefined) this.#reject(id, error);
    else if (!this.#replica.isAttaching) return;
    else if (error.retryable) this.#replica.attachRefused(this.#link.now(), this.#link.random());
    else this.#end(error);
  }

  /** @param {ProtocolError} error */
  #end(error) {
    this.gone = error;
    this.#outbox.end(error);
    this.#changed([]);
  }

  /** @param {Iterable<string>} ids */
  #changed(ids) {
    this.#tell("change", { messages: new Set(ids) });
  }

  /** @param {string} type @param {any} detail */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** @type {ProtocolError} */
const TOO_LARGE = { code: "frame_too_large", message: "The message is too large", retryable: false };

/** @type {Record<Signal["state"], UnsentMessage["status"]>} */
const STATUSES = { waiting: "waiting", sent: "sending", accepted: "sending", rejected: "failed" };

/** @param {Signal} signal @returns {UnsentMessage} */
function asMessage({ id, state, at, payload, error, revision }) {
  const reason = error?.message ?? null;
  const status = STATUSES[state];
  return { id, role: "user", status, reason, metadata: null, created_at: at, parts: payload.parts, revision };
}

/** @param {ProtocolError} error */
function asError(error) {
  return Object.assign(new Error(error.message), error);
}

// Not crypto.randomUUID, which pages served over plain HTTP don't have.
function newId() {
  return `m_${crypto.getRandomValues(new Uint32Array(4)).join("-")}`;
}
