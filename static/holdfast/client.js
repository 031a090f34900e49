// The connection: it executes the state machine's effects, hands frames to sessions, and never trusts a silent link.

import { Heartbeat } from "./heartbeat.js";
import { TransportManager } from "./transport-manager.js";
import { HttpTransport } from "./network/http.js";
import { ABNORMAL, SocketTransport } from "./network/socket.js";
import { pageStorage, watchPage } from "./page-lifecycle.js";
import { endsConnection, errorOf } from "./protocol.js";
import { Session } from "./session.js";
import { sharing } from "./shared-signals.js";
import { initialConnection, transition } from "./connection-state.js";
import { Timers, systemClock } from "./timers.js";
import { Token } from "./token.js";

/** @typedef {import("./protocol.js").Frame} Frame */
/** @typedef {import("./protocol.js").Limits} Limits */
/** @typedef {import("./transport-choice.js").TransportName} TransportName */
/** @template {object} Details @typedef {import("./session.js").EventsOf<Details>} EventsOf */
/**
 * @typedef {object} HoldfastEvents
 * @property {Holdfast["connection"]} connection as it is now
 * @property {import("./connection-state.js").Reason} error of the server, about no session
 */

// A server that is there answers a ping within this. It leaves half a second to be back two seconds after a doubt.
export const CHECK_MS = 1_500;
// After this much of it another socket is opened, for the likely case that only the old one is dead.
export const DOUBT_MS = 500;
// A signal is stored in well under a second.
export const RECEIPT_MS = 3_000;
// A timer that is this late slept, with the page: the server may have spoken meanwhile, so it is asked first.
export const LATE_MS = 1_000;
// A page that was hidden this long may be slow to hear, and so leaves a connection to those that are seen.
export const BACKGROUND_AFTER_MS = 30_000;

// Until a token is asked for again that could not be had.
export const RENEW_AGAIN_MS = 5_000;

// Nothing that a page notices matters in these states.
const IDLE = ["initialized", "closed", "failed"];

/**
 * A connection that follows sessions. Its `connection` event says that `connection` has changed.
 *
 * @example
 * const holdfast = new Holdfast({ url: "/ws/" });
 * holdfast.connect();
 * const session = holdfast.session(id);
 */
export class Holdfast extends /** @type {new () => EventsOf<HoldfastEvents>} */ (EventTarget) {
  #connection = initialConnection();
  #options;
  #transport;
  #timers;
  #token;
  /** @type {Heartbeat|null} */
  #heartbeat = null;
  /** @type {Limits|null} while connected */
  #limits = null;
  /** @type {number|null} */
  #lastGoodAt = null;
  /** @type {string|null} */
  #actor = null;
  /** @type {Map<string, Session>} */
  #sessions = new Map();
  /** When to doubt that a signal has arrived, ms, by its id. @type {Map<string, number>} */
  #receiptsDue = new Map();
  #wakeAt = Infinity;
  /** @type {import("./connection-state.js").ConnectionEvent[]} */
  #events = [];
  /** @type {(() => void)|null} */
  #stopWatching = null;

  /**
   * @param {object} [options]
   * @param {string} [options.url] of the server's WebSocket, absolute or relative to the page
   * @param {string} [options.api] of its HTTP API, likewise
   * @param {import("./token.js").TokenProvider|null} [options.token] gives a token of the person's, whenever one is needed;
   *   null where the site's own cookies say who it is
   * @param {Storage|null} [options.storage] remembers which transport worked
   * @param {ReturnType<typeof sharing>} [options.share] keeps unsent signals over a reload, with the other tabs
   * @param {typeof globalThis.WebSocket|null} [options.WebSocket] null to do without; this and the next four are for tests
   * @param {typeof globalThis.fetch|null} [options.fetch] null to do without
   * @param {import("./timers.js").Clock} [options.clock]
   * @param {() => number} [options.random]
   * @param {Window & typeof globalThis} [options.page]
   */
  constructor({
    url = "/ws/",
    api = "/api/",
    token = null,
    page = /** @type {Window & typeof globalThis} */ (globalThis),
    storage = pageStorage(page),
    share = sharing(page),
    WebSocket = globalThis.WebSocket,
    fetch = globalThis.fetch?.bind(globalThis),
    clock = systemClock,
    random = Math.random,
  } = {}) {
    super();
    this.#options = { url, api, share, WebSocket, fetch, clock, random, page };
    this.#timers = new Timers(clock);
    this.#token = new Token(token, clock);
    this.#transport = new TransportManager({ transports: this.#transports(), clock, storage });
    this.#transport.onopen = (frame, bytes) => this.#opened(frame, bytes);
    this.#transport.onframe = (frame, bytes) => this.#receive(frame, bytes);
    this.#transport.onclose = (code, generation) => this.#dispatch({ type: "dropped", code, generation });
    this.#transport.onchange = () => this.#emitConnection();
  }

  #transports() {
    const { url, api, WebSocket, fetch, clock } = this.#options;
    const token = this.#token;
    /** @type {Partial<Record<TransportName, () => import("./network/socket.js").Transport>>} */
    const transports = {};
    /** @param {boolean} returning */
    const attaches = (returning) => [...this.#sessions.values()].flatMap((session) => session.attachFrame(returning) ?? []);
    if (WebSocket) transports.websocket = () => new SocketTransport(url, WebSocket, token);
    for (const name of /** @type {const} */ (["stream", "poll"])) {
      if (fetch) transports[name] = () => new HttpTransport(name, { api, fetch, clock, attaches, token });
    }
    return transports;
  }

  connect() {
    this.#dispatch({ type: "open" });
  }

  /** Retry now, because a person asks for it. */
  retry() {
    this.#dispatch({ type: "retry" });
  }

  close() {
    this.#dispatch({ type: "close" });
  }

  /**
   * `state`; `reason` (`{code, message}` or null) why it isn't connected; `transport` that carries frames, or null;
   * `transportReason` (`{code, message}` or null) why it isn't a better one; and times in ms since 1970, or null: `since`
   * it is in the state, `transportSince` it uses the transport, `lostAt` the last good connection was lost, `retryAt` the
   * next retry is due, `lastGoodAt` the last frame came. `actor`: who the latest one acted as, to know one's own signals.
   */
  get connection() {
    const { state, since, lostAt, retryAt, reason } = this.#connection;
    const [lastGoodAt, actor] = [this.#lastGoodAt, this.#actor];
    return { state, since, lostAt, retryAt, reason, lastGoodAt, actor, ...this.#transport.status };
  }

  /** Follow a session. @param {string} id @returns {Session} the same for the same id */
  session(id) {
    return this.#sessions.get(id) ?? this.#follow(id);
  }

  /** @param {string} id */
  #follow(id) {
    const { clock, random, share } = this.#options;
    const session = new Session(id, {
      now: clock.now,
      random,
      share,
      schedule: () => this.#schedule(),
      post: (frames) => this.#post(frames),
      leave: () => this.#leave(session),
    });
    this.#sessions.set(id, session);
    if (this.#limits) session.connected(this.#limits);
    return session;
  }

  /** @param {Session} session */
  #leave(session) {
    if (this.#sessions.get(session.id) !== session) return;
    this.#sessions.delete(session.id);
    session.disconnected();
    if (this.#limits) this.#post([{ type: "detach", session: session.id }]);
  }

  /** @param {Frame[]} frames */
  #post(frames) {
    const due = this.#options.clock.now() + RECEIPT_MS;
    for (const { type, id } of frames) if (type === "signal") this.#receiptsDue.set(id, due);
    if (!frames.every((frame) => this.#transport.send(frame))) this.#dispatch({ type: "dropped", code: ABNORMAL });
    this.#schedule();
  }

  // One event after the other: an effect, or who is told, may cause the next.
  /** @param {import("./connection-state.js").ConnectionEvent} event */
  #dispatch(event) {
    this.#events.push(event);
    if (this.#events.length > 1) return;
    while (this.#events.length) {
      this.#transition(this.#events[0]);
      this.#events.shift();
    }
  }

  /** @param {import("./connection-state.js").ConnectionEvent} event */
  #transition(event) {
    const { clock, random } = this.#options;
    const { connection, effects } = transition(this.#connection, { ...event, now: clock.now(), random: random() });
    const changed = connection !== this.#connection;
    this.#connection = connection;
    for (const effect of effects) this.#perform(effect);
    if (!changed) return;
    this.#watch();
    this.#emitConnection();
  }

  #emitConnection() {
    this.dispatchEvent(new CustomEvent("connection", { detail: this.connection }));
  }

  /** @param {import("./connection-state.js").ConnectionEffect} effect */
  #perform(effect) {
    if (effect.type === "startTimer") this.#startTimer(effect.name, effect.ms);
    else if (effect.type === "stopTimer") this.#timers.stop(effect.name);
    else if (effect.type === "openTransport") this.#openTransport(effect.generation);
    else if (effect.type === "closeTransport") this.#closeTransport();
    else if (effect.type === "flush") this.#transport.flush();
    else if (effect.type === "check") this.#check();
    else this.#resume();
  }

  /** @param {string} name of the event that it causes @param {number} ms */
  #startTimer(name, ms) {
    this.#timers.start(name, ms, () => this.#dispatch({ type: name }));
  }

  /** @param {number} generation */
  #openTransport(generation) {
    this.#closeTransport();
    this.#transport.open(generation);
  }

  #closeTransport() {
    this.#transport.close();
    this.#limits = null;
    this.#receiptsDue.clear();
    for (const name of ["silent", "doubt", "wake", "token"]) this.#timers.stop(name);
    this.#wakeAt = Infinity;
    for (const session of this.#sessions.values()) session.disconnected();
  }

  #check() {
    if (this.#timers.has("silent")) return;
    this.#startTimer("silent", CHECK_MS);
    this.#timers.start("doubt", DOUBT_MS, () => this.#transport.doubt());
    this.#post([{ type: "ping" }]);
  }

  // On another transport than before, whatever was on its way may be lost.
  #resume() {
    for (const session of this.#sessions.values()) {
      session.disconnected();
      if (this.#limits) session.connected(this.#limits);
    }
  }

  // --- What the page notices ---

  #watch() {
    const idle = IDLE.includes(this.#connection.state);
    if (idle) this.#stopWatching?.();
    if (idle) this.#stopWatching = null;
    else this.#stopWatching ??= watchPage(this.#options.page, this.#options.clock, (event) => this.#notice(event));
  }

  /** @param {import("./page-lifecycle.js").PageEvent} event */
  #notice(event) {
    if (event === "hidden") this.#timers.start("background", BACKGROUND_AFTER_MS, () => this.#transport.setBackground(true));
    else this.#dispatch({ type: event === "network" ? "woken" : event });
    if (event === "online" || event === "network") this.#transport.networkChanged();
    if (event !== "woken") return;
    this.#timers.stop("background");
    this.#transport.setBackground(false);
  }

  // --- What the server says ---

  /** @param {Frame} frame @param {number} bytes */
  #opened(frame, bytes) {
    this.#limits = frame.limits;
    this.#actor = frame.actor;
    this.#heartbeat = new Heartbeat(frame.heartbeat_ms, this.#options.clock.now());
    this.#renewLater();
    this.#receive(frame, bytes);
    this.#dispatch({ type: "connected", recoveryWindowMs: frame.recovery_window_ms });
  }

  /** @param {Frame} frame @param {number} bytes */
  #receive(frame, bytes) {
    const now = this.#options.clock.now();
    this.#lastGoodAt = now;
    this.#heartbeat?.recordFrame(now);
    this.#timers.stop("silent");
    this.#timers.stop("doubt");
    this.#route(frame, bytes);
    this.#schedule();
  }

  /** @param {Frame} frame @param {number} bytes */
  #route(frame, bytes) {
    if (frame.id !== undefined) this.#receiptsDue.delete(frame.id);
    if (frame.type === "going-away") this.#dispatch({ type: "going-away", reconnectInMs: frame.reconnect_in_ms });
    else if (frame.type === "error") this.#error(frame, bytes);
    else if (frame.type === "heartbeat") this.#sessions.forEach((session) => session.receive(frame, bytes));
    else this.#sessions.get(frame.session)?.receive(frame, bytes);
  }

  /** @param {Frame} frame @param {number} bytes */
  #error(frame, bytes) {
    const { session } = frame;
    const reason = errorOf(frame);
    if (reason.code === "token_expired" && this.#token.isUsed) {
      this.#token.forget(); // as after a sleep: another one may well be had
      reason.retryable = true;
    }
    // Before the connection is greeted there is nothing else that it could be about.
    if (endsConnection(reason.code) || !this.#limits) this.#dispatch({ type: "refused", reason });
    else if (session !== undefined) this.#sessions.get(session)?.receive(frame, bytes);
    else this.dispatchEvent(new CustomEvent("error", { detail: reason }));
  }

  // --- The token ---

  #renewLater() {
    const ms = this.#token.renewAt - this.#options.clock.now();
    if (ms < Infinity) this.#timers.start("token", Math.max(0, ms), () => this.#renew());
  }

  // The connection goes on with the fresh one. Where none can be had now, there is time to ask again.
  async #renew() {
    try {
      const token = await this.#token.fresh();
      if (this.#limits) this.#post([{ type: "authenticate", token }]);
      this.#renewLater();
    } catch {
      if (this.#limits) this.#timers.start("token", RENEW_AGAIN_MS, () => this.#renew());
    }
  }

  // --- What is due ---

  // One timer, for whatever is due first: the server's heartbeat, a receipt, or something in a session.
  #schedule() {
    if (!this.#limits || !this.#heartbeat) return;
    const deadlines = [...this.#sessions.values()].map((session) => session.deadline);
    const due = Math.min(this.#heartbeat.deadline, ...this.#receiptsDue.values(), ...deadlines);
    if (due >= this.#wakeAt) return;
    this.#wakeAt = due;
    this.#timers.start("wake", Math.max(0, due - this.#options.clock.now()), () => this.#wake());
  }

  #wake() {
    const now = this.#options.clock.now();
    const late = now - this.#wakeAt > LATE_MS;
    this.#wakeAt = Infinity;
    if (this.#heartbeat?.isStale(now)) this.#silence(late, now);
    if (Math.min(...this.#receiptsDue.values()) <= now) this.#missReceipts();
    for (const session of this.#sessions.values()) if (session.deadline <= now) session.tick();
    this.#schedule();
  }

  /** @param {boolean} late @param {number} now ms */
  #silence(late, now) {
    if (late) this.#heartbeat?.recordFrame(now); // the check decides, and sooner
    this.#dispatch({ type: late ? "woken" : "silent" });
  }

  #missReceipts() {
    this.#receiptsDue.clear();
    this.#dispatch({ type: "unanswered" });
  }
}
