// A followed session, the application's interface: its state, unsent signals, and methods to send.

import { asApproval, askingCalls, isPending } from "./approvals.js";
import { Outbox, REFUSED, asMessage, asSignal, isDecision, isUnfinished, newId } from "./outbox.js";
import { BAD_ID, NO_APPROVAL, SIGNAL_ID, TOO_LARGE, asError, byteLength, errorOf, storable } from "./protocol.js";
import { SessionState } from "./session-state.js";
import { snapshotOf } from "./snapshot.js";

/** @typedef {import("./approvals.js").Approval} Approval */
/** @template {object} Details @typedef {import("./events.js").EventsOf<Details>} EventsOf */
/** @typedef {import("./message.js").Message} Message */
/** @typedef {import("./events.js").SessionEvents} SessionEvents */
/** @typedef {import("./outbox.js").NewMessage} NewMessage */
/** @typedef {import("./outbox.js").Signal} Signal */
/** @typedef {import("./outbox.js").UnsentMessage} UnsentMessage */
/** @typedef {import("./protocol.js").Frame} Frame */
/** @typedef {import("./protocol.js").ProtocolError} ProtocolError */
/** @typedef {import("./protocol.js").Receipt} Receipt */
/** @typedef {import("./protocol.js").Acceptance} Acceptance */
/** @typedef {import("./protocol.js").SignalRecord} SignalRecord */

/**
 * A followed session. Emits `SessionEvents`.
 *
 * @example
 * const session = holdfast.session(id);
 * session.addEventListener("change", () => render(session.messages));
 * await session.send("Hello");
 */
export class Session extends /** @type {new () => EventsOf<SessionEvents>} */ (EventTarget) {
  /** Whether the initial state is loaded. */
  ready = false;
  /** @type {ProtocolError|null} why the session is no longer readable */
  gone = null;
  /** @type {{events: number, ms: number}|null} size and duration of the latest resume */
  caughtUp = null;

  #state;
  #outbox;
  #connection;
  /** @type {import("./protocol.js").Limits|null} */
  #limits = null;
  /** Unsettled sends, by signal id. @type {Map<string, {resolve: Function, reject: Function, receipt: Promise<any>}>} */
  #waiting = new Map();
  /** Callers of `session(id)` that have not detached. */
  #users = 1;
  /** @type {import("./snapshot.js").SessionSnapshot|null} */
  #snapshot = null;
  #isChanged = true;
  /** @type {Set<(event: import("./fold.js").Event|null) => void>} */
  #followers = new Set();

  /**
   * @param {string} id
   * @param {{replaced?: boolean}} options `replaced`: whether `alternatives` has replaced messages
   * @param {{now: () => number, random: () => number, share: import("./shared-signals.js").Sharing,
   *   schedule: () => void, post: (frames: Frame[]) => void, leave: (session: Session) => void,
   *   rest: () => Promise<import("./network/rest.js").Rest>}} connection
   */
  constructor(id, { replaced = false }, connection) {
    super();
    this.id = id;
    this.#connection = connection;
    this.#state = new SessionState(id, replaced);
    this.#outbox = new Outbox(connection.share(id));
    this.#outbox.onchange = (ids) => this.#outboxChanged(ids);
    this.#outbox.onsettled = (receipt) => this.#settled(receipt);
  }

  /**
   * The conversation: messages on show in order. The user's own that are not stored yet come last: `waiting`, `sending`,
   * or `failed` (refused permanently, with the reason). Messages change in place; each change gives them a greater
   * `revision`.
   * @returns {(Message|UnsentMessage)[]}
   */
  get messages() {
    const held = this.#state.messages;
    const own = this.#outbox.signals.filter(({ id, kind }) => kind === "message" && !held.has(id));
    const shown = [...held.values()].filter(({ replaced_by: by }) => !by);
    return /** @type {(Message|UnsentMessage)[]} */ ([...shown, ...own.map(asMessage)]);
  }

  /** Replaced messages in order, if the session was asked for with them. @returns {Message[]} */
  get replaced() {
    return /** @type {Message[]} */ ([...this.#state.messages.values()].filter(({ replaced_by: by }) => by));
  }

  /**
   * Signals in order. The user's own that are not stored yet come last; unsent messages are only in `messages`.
   * @returns {(SignalRecord|import("./outbox.js").UnsentSignal)[]}
   */
  get signals() {
    const held = this.#state.signals;
    const own = this.#outbox.signals.filter(({ id, kind }) => kind !== "message" && !held.has(id));
    return [...held.values(), ...own.map(asSignal)];
  }

  /** Tool calls that wait for a decision, except those for which one has been sent. @returns {Approval[]} */
  get approvals() {
    const decided = this.signals.flatMap(({ status, payload }) => (REFUSED.includes(status) ? [] : payload.approval));
    return this.#asking.filter(isPending).filter(({ part }) => !decided.includes(part.approval.id)).map(asApproval);
  }

  /** Tool calls that ask or asked for a decision. */
  get #asking() {
    return askingCalls(this.#state.messages.values());
  }

  /** Whether an agent has work here. */
  get working() {
    const { messages, signals } = this.#state;
    const writes = [...messages.values()].some(({ status }) => status === "streaming");
    return writes || [...signals.values()].some((record) => !isDecision(record) && isUnfinished(record));
  }

  /** Whether a cancel is in progress. */
  get stopping() {
    return this.signals.some((signal) => signal.kind === "cancel" && isUnfinished(signal));
  }

  get title() {
    return this.#state.title;
  }

  /** Whether the server has earlier messages: `loadOlder` loads them. */
  get older() {
    return this.#state.older;
  }

  /**
   * Immutable snapshot of all of this, for frameworks that compare by identity: the same object while nothing has changed,
   * and with new objects only for what has.
   */
  snapshot() {
    if (this.#isChanged || !this.#snapshot) this.#snapshot = snapshotOf(this, this.#snapshot);
    this.#isChanged = false;
    return this.#snapshot;
  }

  /** Load earlier messages into `messages`. @param {number} [limit] how many, 30 by default */
  async loadOlder(limit) {
    const { loadOlder } = await import("./older.js");
    const added = await loadOlder(this.#state, await this.#connection.rest(), this.id, limit);
    this.#changed(added, []);
  }

  /**
   * The AI SDK's chunks of a message, which may still have to begin: a replay, then what follows, until its end. Their fold
   * is the message. Rejects with the code `reset` if what was read can't be continued after an absence.
   * @param {string} message id
   * @param {import("./chunks.js").ChunkOptions} [options]
   * @returns {AsyncGenerator<import("./message.js").Chunk, void, undefined>}
   */
  async *chunks(message, options) {
    const { chunksOf } = await import("./chunks.js");
    const find = () => this.#state.messages.get(message);
    yield* chunksOf(message, { find, followers: this.#followers, gone: () => this.gone }, options);
  }

  /**
   * Send a message. It is kept until the server has stored it, through lost connections and reloads; when this tab is
   * closed, another tab sends it. This holds for every signal.
   * @param {string|NewMessage} message its text, or its parts
   * @returns {Promise<Acceptance>} rejects with `code` and `message` when the server refuses it permanently, and with
   *   `outbox_full` when too many signals wait already
   */
  send(message) {
    return this.#write("message", message);
  }

  /** Steer the agent at work, which reads it at its next step, or answers it afterwards. @param {string|NewMessage} message */
  steer(message) {
    return this.#write("steer", message);
  }

  /** @param {"message"|"steer"} kind @param {string|NewMessage} message */
  #write(kind, message) {
    if (typeof message === "string") return this.#signal(kind, { parts: [{ type: "text", text: message }] });
    const { id, ...given } = message;
    return this.#signal(kind, given, id);
  }

  /** Stop the agent. @param {string} [message] id of the only response to stop */
  cancel(message) {
    return this.#signal("cancel", { message });
  }

  /**
   * Approve a tool call, with exactly the arguments shown.
   * @param {string} approval id
   * @param {{inputText?: string, input?: object, reason?: string}} [how] edited arguments, if the descriptor allows
   *   them: `inputText`, their JSON text, which runs as it is; or `input`, values, whose large integers JavaScript
   *   has rounded
   */
  async approve(approval, { inputText: input_text, input, reason } = {}) {
    const asking = this.#asking.find(({ part }) => part.approval.id === approval);
    if (!asking) throw asError(NO_APPROVAL);
    const { input_hash } = asking.part.approval.descriptor;
    return this.#signal("approve", { approval, input_hash, input_text, input, reason });
  }

  /** Deny a tool call. @param {string} approval id @param {string} [reason] */
  deny(approval, reason) {
    return this.#signal("deny", { approval, reason });
  }

  /**
   * Send the result of a client-side tool.
   * @param {string} message id of the message that contains the call
   * @param {string} call
   * @param {{output: any}|{error: string}} result
   */
  toolResult(message, call, result) {
    return this.#signal("tool-result", { message, call, ...result });
  }

  /** Continue or regenerate a response that has ended. @param {string} message @param {"continue"|"regenerate"} mode */
  retry(message, mode) {
    return this.#signal("retry", { message, mode });
  }

  /**
   * @param {SignalRecord["kind"]} kind @param {Record<string, any>} given @param {string} [id]
   * @returns {Promise<Acceptance>}
   */
  async #signal(kind, given, id = newId()) {
    if (this.gone) throw asError(this.gone);
    if (!SIGNAL_ID.test(id)) throw asError(BAD_ID);
    const waiting = this.#waiting.get(id);
    if (waiting) return waiting.receipt;
    const payload = JSON.parse(JSON.stringify(given, storable));
    this.#outbox.add({ id, kind, payload }, this.#connection.now());
    const wait = /** @type {any} */ ({});
    wait.receipt = new Promise((resolve, reject) => Object.assign(wait, { resolve, reject }));
    this.#waiting.set(id, wait);
    this.#outboxChanged([id]);
    return wait.receipt;
  }

  /** Remove a `failed` message or steer, in all tabs. @param {string} id */
  dismiss(id) {
    this.#outbox.dismiss(id);
  }

  /** Another caller follows it too. */
  retain() {
    return ((this.#users += 1), this);
  }

  /** Stop following, once every caller of `session(id)` has. Unsent signals are left to other tabs, or the next visit. */
  detach() {
    if ((this.#users -= 1)) return;
    this.#connection.leave(this);
    this.#outbox.close();
  }

  // --- For the connection ---

  /** @param {import("./protocol.js").Limits} limits */
  connected(limits) {
    this.#limits = limits;
    if (this.gone) return;
    this.#applyUpdate(this.#state.connected(limits, this.#connection.now()));
    this.#flush();
  }

  /**
   * The attach frame for an HTTP request; null if the session is gone. `returning`: its answer counts as a catch-up.
   * @param {boolean} returning
   */
  attachFrame(returning) {
    if (this.gone) return null;
    return returning ? this.#state.attach(this.#connection.now()).send[0] : this.#state.attachFrame;
  }

  disconnected() {
    this.#limits = null;
    this.#outbox.disconnected();
  }

  /** @param {Frame} frame @param {number} bytes */
  receive(frame, bytes) {
    if (this.gone) return;
    if (frame.type === "receipt") this.#receipt(frame);
    else if (frame.type === "detached") this.#markGone(frame.error);
    else if (frame.type === "error") this.#error(frame);
    else this.#applyUpdate(this.#state.receive(frame, bytes, this.#connection.now()), frame.type === "attached");
    // The state is complete: a signal accepted in another tab and missing here was lost with a restored database.
    const isComplete = frame.type === "heartbeat" && frame.tails[this.id] === this.#state.cursor;
    const lost = isComplete && this.#outbox.forget(Infinity);
    if (lost && lost.length) this.#changed(lost, lost);
    this.#flush();
  }

  /** Time of the next `tick`, ms. */
  get deadline() {
    return this.#isLive ? Math.min(this.#state.deadline, this.#outbox.deadline) : Infinity;
  }

  tick() {
    this.#applyUpdate(this.#state.tick(this.#connection.now()));
    this.#flush();
  }

  /** @param {import("./session-state.js").StateUpdate} update @param {boolean} [attached] whether it comes from an `attached` frame */
  #applyUpdate({ send, changed, signals, reset, caughtUp, events }, attached = false) {
    if (send.length) this.#connection.post(send);
    for (const tell of this.#followers) (attached ? [null] : (events ?? [])).forEach(tell);
    // After a reset, the serial of an accepted signal may never be reached.
    this.#outbox.forget(reset === undefined ? this.#state.serial : Infinity);
    this.ready ||= attached;
    this.caughtUp = caughtUp ?? this.caughtUp;
    if (reset !== undefined) this.#emit("reset", reset);
    if (changed.size || signals.size || attached) this.#changed(changed, signals);
    if (caughtUp) this.#emit("caught-up", caughtUp);
  }

  get #isLive() {
    return this.#limits !== null && !this.gone;
  }

  #flush() {
    for (let signal; this.#isLive && (signal = this.#outbox.next(this.#connection.now())); ) this.#sendSignal(signal);
  }

  /** @param {string[]} ids */
  #outboxChanged(ids) {
    this.#changed(ids, ids);
    this.#flush();
    this.#connection.schedule();
  }

  /** @param {Signal} signal */
  #sendSignal({ id, kind, payload }) {
    const frame = { type: "signal", session: this.id, id, kind, payload };
    const tooLarge = byteLength(JSON.stringify(frame)) > (this.#limits?.frame_bytes ?? Infinity);
    // The server would close the connection for it, at each attempt.
    if (tooLarge) this.#reject(id, TOO_LARGE);
    else this.#connection.post([frame]);
    this.#changed([id], [id]);
  }

  /** @param {Frame} frame */
  #receipt({ id, status, serial, error }) {
    if (status === "rejected") this.#reject(id, error);
    else this.#outbox.accepted(id, serial);
  }

  /** @param {string} id @param {ProtocolError} error */
  #reject(id, error) {
    this.#outbox.rejected(id, error, this.#connection.now(), this.#connection.random());
  }

  /** @param {Receipt} receipt */
  #settled(receipt) {
    const { resolve, reject } = this.#waiting.get(receipt.id) ?? {};
    this.#waiting.delete(receipt.id);
    if (receipt.status === "rejected") reject?.(asError(receipt.error));
    else resolve?.(receipt);
    this.#outbox.forget(this.#state.serial);
    this.#emit("receipt", receipt);
    this.#outboxChanged([receipt.id]);
  }

  /** @param {Frame} frame */
  #error(frame) {
    const { id } = frame;
    const error = errorOf(frame);
    if (error.code === "not_attached") this.#applyUpdate(this.#state.attach(this.#connection.now()));
    else if (error.code === "bad_cursor") this.#applyUpdate(this.#state.attachAfresh(this.#connection.now()));
    else if (id !== undefined) this.#reject(id, error);
    else if (!this.#state.isAttaching) return;
    else if (error.retryable) {
      this.#state.attachRefused(this.#connection.now(), this.#connection.random(), frame.retry_after_ms);
    }
    else this.#markGone(error);
  }

  /** @param {ProtocolError} error */
  #markGone(error) {
    this.gone = error;
    this.#outbox.failAll(error);
    for (const tell of this.#followers) tell(null);
    this.#changed([], []);
  }

  /**
   * @param {Iterable<string>} messages ids
   * @param {Iterable<string>} signals ids; a message has the id of its signal
   */
  #changed(messages, signals) {
    this.#emit("change", { messages: new Set(messages), signals: new Set(signals) });
  }

  /** @param {string} type @param {any} detail */
  #emit(type, detail) {
    this.#isChanged = true;
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
