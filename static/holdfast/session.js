// A followed session, the application's interface: its state, unsent signals, and methods to send.

import { Outbox, asMessage, asSignal, isDecision, newId } from "./outbox.js";
import { asError, byteLength, errorOf, storable } from "./protocol.js";
import { SessionState } from "./session-state.js";

/** @typedef {import("./message.js").FoldedMessage} FoldedMessage */
/** @typedef {import("./message.js").Message} Message */
/** @typedef {import("./outbox.js").Signal} Signal */
/** @typedef {import("./outbox.js").UnsentMessage} UnsentMessage */
/** @typedef {import("./outbox.js").UnsentSignal} UnsentSignal */
/** @typedef {import("./session-state.js").StateUpdate} StateUpdate */
/** @typedef {import("./shared-signals.js").SharedSignals} SharedSignals */
/** @typedef {import("./protocol.js").Frame} Frame */
/** @typedef {import("./protocol.js").Limits} Limits */
/** @typedef {import("./protocol.js").ProtocolError} ProtocolError */
/** @typedef {import("./protocol.js").Receipt} Receipt */
/** @typedef {import("./protocol.js").Acceptance} Acceptance */
/** @typedef {import("./protocol.js").SignalRecord} SignalRecord */

/**
 * A tool call that waits for a decision. `descriptor.expires_at`: ms, or null for never.
 * @typedef {object} Approval
 * @property {string} approval id of the approval
 * @property {string} message id of the message that contains the call
 * @property {string} call id of the tool call
 * @property {string} tool name
 * @property {any} input arguments; integers beyond 2^53 as text
 * @property {string} [inputText] their exact JSON text
 * @property {string|undefined} reason the agent's reason to ask
 * @property {import("./message.js").ApprovalDescriptor} descriptor
 */

/**
 * An `EventTarget` with typed events: the type of `detail` by event name.
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
 * @property {{messages: Set<string>, signals: Set<string>}} change ids of those added, removed or changed; the id of a
 *   message that is not loaded means that another has taken its place
 * @property {string} reset why the state was replaced
 * @property {{events: number, ms: number}} caught-up size and duration of a resume
 * @property {Receipt} receipt of a signal
 */

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
  /** @type {Limits|null} */
  #limits = null;
  /** @type {Map<string, {resolve: Function, reject: Function}>} unsettled sends, by signal id */
  #waiting = new Map();

  /**
   * @param {string} id
   * @param {{replaced?: boolean}} options `replaced`: whether `alternatives` has replaced messages
   * @param {{now: () => number, random: () => number, share: (session: string) => SharedSignals,
   *   schedule: () => void, post: (frames: Frame[]) => void, leave: (session: Session) => void}} connection
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
   * @returns {(SignalRecord|UnsentSignal)[]}
   */
  get signals() {
    const held = this.#state.signals;
    const own = this.#outbox.signals.filter(({ id, kind }) => kind !== "message" && !held.has(id));
    return [...held.values(), ...own.map(asSignal)];
  }

  /** Tool calls that wait for a decision, except those for which one has been sent. @returns {Approval[]} */
  get approvals() {
    const decided = this.signals.flatMap(({ status, payload }) => (REFUSED.includes(status) ? [] : payload.approval));
    const pending = this.#asking.filter(({ message, part }) => message.status === "streaming" && part.state === ASKING);
    return pending.filter(({ part }) => !decided.includes(part.approval.id)).map(asApproval);
  }

  /** Tool calls that ask or asked for a decision. */
  get #asking() {
    return [...this.#state.messages.values()].flatMap((message) =>
      message.parts.filter(({ approval }) => approval?.descriptor).map((part) => ({ message, part })),
    );
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

  /** Whether the server has earlier messages (`GET /api/sessions/<id>/messages/`). */
  get older() {
    return this.#state.older;
  }

  /**
   * Send a message. It is kept until the server has stored it, through lost connections and reloads; when this tab is
   * closed, another tab sends it. This holds for every signal.
   * @param {string} text
   * @returns {Promise<Acceptance>} rejects with `code` and `message` when the server refuses it permanently, and with
   *   `outbox_full` when too many signals wait already
   */
  send(text) {
    return this.#signal("message", partsOf(text));
  }

  /** Steer the agent at work, which reads it at its next step, or answers it afterwards. @param {string} text */
  steer(text) {
    return this.#signal("steer", partsOf(text));
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

  /** @param {SignalRecord["kind"]} kind @param {Record<string, any>} given @returns {Promise<Acceptance>} */
  async #signal(kind, given) {
    if (this.gone) throw asError(this.gone);
    const id = newId();
    const payload = JSON.parse(JSON.stringify(given, storable));
    this.#outbox.add({ id, kind, payload }, this.#connection.now());
    const receipt = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#outboxChanged([id]);
    return receipt;
  }

  /** Remove a `failed` message or steer, in all tabs. @param {string} id */
  dismiss(id) {
    this.#outbox.dismiss(id);
  }

  /** Stop following. Unsent signals are left to other tabs, or to the next visit. */
  detach() {
    this.#connection.leave(this);
    this.#outbox.close();
  }

  // --- For the connection ---

  /** @param {Limits} limits */
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
    if (frame.type === "heartbeat" && frame.tails[this.id] === this.#state.cursor) this.#outbox.forget(Infinity);
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

  /** @param {StateUpdate} update @param {boolean} [attached] whether it comes from an `attached` frame */
  #applyUpdate({ send, changed, signals, reset, caughtUp }, attached = false) {
    if (send.length) this.#connection.post(send);
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
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** @type {ProtocolError} */
const TOO_LARGE = { code: "frame_too_large", message: "The message is too large", retryable: false };

/** @type {ProtocolError} */
const NO_APPROVAL = { code: "no_such_approval", message: "Approval not found", retryable: false };

const ASKING = "approval-requested";
const REFUSED = ["rejected", "expired", "failed"];

/** @param {{message: FoldedMessage, part: import("./message.js").FoldedPart}} asking @returns {Approval} */
function asApproval({ message, part: { type, toolName, toolCallId, input, approval } }) {
  const { id, requestReason, descriptor } = approval;
  const tool = toolName ?? type.slice("tool-".length);
  const exact = descriptor.input_text === undefined ? {} : { inputText: descriptor.input_text };
  return { approval: id, message: message.id, call: toolCallId, tool, input, ...exact, reason: requestReason, descriptor };
}

/** @param {{status: string}} signal */
function isUnfinished({ status }) {
  return status !== "applied" && !REFUSED.includes(status);
}

/** @param {string} text */
function partsOf(text) {
  return { parts: [{ type: "text", text }] };
}
