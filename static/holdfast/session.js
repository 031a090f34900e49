// One followed session as a page uses it: what it holds, what is on its way, and what a person may send into it.

import { Outbox, asMessage, asSignal, isDecision } from "./outbox.js";
import { byteLength, errorOf, wellFormed } from "./protocol.js";
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
 * A tool call that waits for a person's decision. `descriptor.expires_at`: ms, or null for never.
 * @typedef {object} Approval
 * @property {string} approval its id
 * @property {string} message that the call is in
 * @property {string} call
 * @property {string} tool its name
 * @property {any} input its exact arguments
 * @property {string|undefined} reason why the agent asks
 * @property {import("./message.js").ApprovalDescriptor} descriptor
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
 * @property {{messages: Set<string>, signals: Set<string>}} change ids of those that came, went or changed
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

  #state;
  #outbox;
  #connection;
  /** @type {Limits|null} */
  #limits = null;
  /** @type {Map<string, {resolve: Function, reject: Function}>} of sends that wait for their receipt */
  #waiting = new Map();

  /**
   * @param {string} id
   * @param {{now: () => number, random: () => number, share: (session: string) => SharedSignals,
   *   schedule: () => void, post: (frames: Frame[]) => void, leave: (session: Session) => void}} connection
   */
  constructor(id, connection) {
    super();
    this.id = id;
    this.#connection = connection;
    this.#state = new SessionState(id);
    this.#outbox = new Outbox(connection.share(id));
    this.#outbox.onchange = (ids) => this.#outboxChanged(ids);
    this.#outbox.onsettled = (receipt) => this.#settled(receipt);
  }

  /**
   * In order. A person's own that the session doesn't hold yet are last: `waiting` to be sent, `sending`, or `failed`:
   * refused for good, with the reason.
   * @returns {(Message|UnsentMessage)[]}
   */
  get messages() {
    const held = this.#state.messages;
    const own = this.#outbox.signals.filter(({ id, kind }) => kind === "message" && !held.has(id));
    return /** @type {(Message|UnsentMessage)[]} */ ([...held.values(), ...own.map(asMessage)]);
  }

  /**
   * Those that the session holds, in order. A person's own that it doesn't hold yet are last, as with messages, which
   * aren't among them as long as they are unsent.
   * @returns {(SignalRecord|UnsentSignal)[]}
   */
  get signals() {
    const held = this.#state.signals;
    const own = this.#outbox.signals.filter(({ id, kind }) => kind !== "message" && !held.has(id));
    return [...held.values(), ...own.map(asSignal)];
  }

  /** Tool calls that wait for a decision, and that nobody has sent one about. @returns {Approval[]} */
  get approvals() {
    const decided = this.signals.flatMap(({ status, payload }) => (REFUSED.includes(status) ? [] : payload.approval));
    const pending = this.#asking.filter(({ message, part }) => message.status === "streaming" && part.state === ASKING);
    return pending.filter(({ part }) => !decided.includes(part.approval.id)).map(asApproval);
  }

  /** Tool calls that ask for a decision, or did. */
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

  /** Whether a cancel isn't final yet. */
  get stopping() {
    return this.signals.some((signal) => signal.kind === "cancel" && isUnfinished(signal));
  }

  get title() {
    return this.#state.title;
  }

  /** Whether the history endpoint has messages before these. */
  get older() {
    return this.#state.older;
  }

  /**
   * Send a person's message. It is kept until the server has it, over a lost connection and a reload, and when this tab
   * is closed another sends it. So is all else that a person may send.
   * @param {string} text
   * @returns {Promise<Acceptance>} rejects with `code` and `message` when the server refuses it for good, and with
   *   `outbox_full`, keeping nothing, when too much waits already
   */
  send(text) {
    return this.#signal("message", partsOf(text));
  }

  /** Tell the agent at work, which reads it at its next step, or answers it when this one is done. @param {string} text */
  steer(text) {
    return this.#signal("steer", partsOf(text));
  }

  /** Stop the agent. @param {string} [message] only the response with this id */
  cancel(message) {
    return this.#signal("cancel", { message });
  }

  /**
   * Let a tool call run, with the very arguments that it shows.
   * @param {string} approval its id
   * @param {{input?: object, reason?: string}} [how] `input`: edited arguments, where the approval allows it
   */
  async approve(approval, how = {}) {
    const asking = this.#asking.find(({ part }) => part.approval.id === approval);
    if (!asking) throw asError(NO_APPROVAL);
    return this.#signal("approve", { approval, input_hash: asking.part.approval.descriptor.input_hash, ...how });
  }

  /** @param {string} approval its id @param {string} [reason] */
  deny(approval, reason) {
    return this.#signal("deny", { approval, reason });
  }

  /**
   * Give the result of a tool that runs here.
   * @param {string} message that the call is in
   * @param {string} call
   * @param {{output: any}|{error: string}} result
   */
  toolResult(message, call, result) {
    return this.#signal("tool-result", { message, call, ...result });
  }

  /** Have a response that has ended go on, or given anew. @param {string} message @param {"continue"|"regenerate"} mode */
  retry(message, mode) {
    return this.#signal("retry", { message, mode });
  }

  /** @param {SignalRecord["kind"]} kind @param {Record<string, any>} given @returns {Promise<Acceptance>} */
  async #signal(kind, given) {
    if (this.gone) throw asError(this.gone);
    const id = newId();
    const payload = JSON.parse(JSON.stringify(given), (_, value) => (typeof value === "string" ? wellFormed(value) : value));
    this.#outbox.add({ id, kind, payload }, this.#connection.now());
    const receipt = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#outboxChanged([id]);
    return receipt;
  }

  /** Forget a message or steer of one's own that has `failed`, in all tabs. @param {string} id */
  dismiss(id) {
    this.#outbox.dismiss(id);
  }

  /** Stop following. What waits to be sent is left to other tabs, and kept for the next time. */
  detach() {
    this.#connection.leave(this);
    this.#outbox.close();
  }

  // The rest is for the connection.

  /** @param {Limits} limits */
  connected(limits) {
    this.#limits = limits;
    if (this.gone) return;
    this.#applyUpdate(this.#state.connected(limits, this.#connection.now()));
    this.#flush();
  }

  /**
   * What to ask a request for; null when there is nothing to ask. `returning`: its answer is a catch-up.
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
    // All is here: what another tab had accepted and isn't, was stored in a database that is no more.
    if (frame.type === "heartbeat" && frame.tails[this.id] === this.#state.cursor) this.#outbox.forget(Infinity);
    this.#flush();
  }

  /** When `tick` has something to do, ms. */
  get deadline() {
    return this.#isLive ? Math.min(this.#state.deadline, this.#outbox.deadline) : Infinity;
  }

  tick() {
    this.#applyUpdate(this.#state.tick(this.#connection.now()));
    this.#flush();
  }

  /** @param {StateUpdate} update @param {boolean} [attached] whether the state has come with it */
  #applyUpdate({ send, changed, signals, reset, caughtUp }, attached = false) {
    if (send.length) this.#connection.post(send);
    // After a reset, a serial that was accepted before may never be reached.
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
    // The server would close the connection for it, again and again.
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
    else if (error.code === "bad_cursor") this.#applyUpdate(this.#state.attachAnew(this.#connection.now()));
    else if (id !== undefined) this.#reject(id, error);
    else if (!this.#state.isAttaching) return;
    else if (error.retryable) this.#state.attachRefused(this.#connection.now(), this.#connection.random());
    else this.#markGone(error);
  }

  /** @param {ProtocolError} error */
  #markGone(error) {
    this.gone = error;
    this.#outbox.failAll(error);
    this.#changed([], []);
  }

  /** @param {Iterable<string>} messages ids @param {Iterable<string>} signals ids: a message has its signal's */
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
const NO_APPROVAL = { code: "no_such_approval", message: "Nothing here asks for this approval", retryable: false };

const ASKING = "approval-requested";
const REFUSED = ["rejected", "expired", "failed"];

/** @param {{message: FoldedMessage, part: import("./message.js").FoldedPart}} asking @returns {Approval} */
function asApproval({ message, part: { type, toolName, toolCallId, input, approval } }) {
  const { id, requestReason, descriptor } = approval;
  const tool = toolName ?? type.slice("tool-".length);
  return { approval: id, message: message.id, call: toolCallId, tool, input, reason: requestReason, descriptor };
}

/** @param {{status: string}} signal */
function isUnfinished({ status }) {
  return status !== "applied" && !REFUSED.includes(status);
}

/** @param {string} text */
function partsOf(text) {
  return { parts: [{ type: "text", text }] };
}

/** @param {ProtocolError} error */
function asError(error) {
  return Object.assign(new Error(error.message), error);
}

// Not crypto.randomUUID, which pages served over plain HTTP don't have.
function newId() {
  return `s_${crypto.getRandomValues(new Uint32Array(4)).join("-")}`;
}
