// The client: executes the connection state machine's effects, routes frames to sessions, checks silent connections.

import { Heartbeat } from "./heartbeat.js";
import { TransportManager } from "./transport-manager.js";
import { loadHttp } from "./network/lazy-http.js";
import { ABNORMAL } from "./network/socket.js";
import { transportsOf } from "./network/transports.js";
import { pageStorage, watchPage } from "./page-lifecycle.js";
import { endsConnection, errorOf } from "./protocol.js";
import { Session } from "./session.js";
import { lazySharing } from "./lazy-signals.js";
import { initialConnection, transition } from "./connection-state.js";
import { Timers, systemClock } from "./timers.js";
import { Token } from "./token.js";

/** @typedef {import("./protocol.js").Frame} Frame */
/** @typedef {import("./protocol.js").Limits} Limits */
/** @typedef {import("./transport-choice.js").TransportName} TransportName */
/** @typedef {import("./events.js").HoldfastEvents} HoldfastEvents */
/** @template {object} Details @typedef {import("./events.js").EventsOf<Details>} EventsOf */
// Deadline for the answer to a ping. It leaves half a second to reconnect within two seconds of a doubt.
export const CHECK_MS = 1_500;
// Part of that deadline after which a second socket is opened: probably only the old one is dead.
export const DOUBT_MS = 500;
// Deadline for a receipt. The server stores a signal in well under a second.
export const RECEIPT_MS = 3_000;
// Lateness of a timer that means the page slept. The server may have sent frames meanwhile, so check before giving up.
export const LATE_MS = 1_000;
// Time after which a hidden page saves connections for visible ones, and receives more slowly.
export const BACKGROUND_AFTER_MS = 30_000;

// Delay before asking again for a token that was not available, or not valid.
export const RENEW_AGAIN_MS = 5_000;

// States in which page events do not matter.
const IDLE = ["initialized", "closed", "failed"];

/**
 * Client of one Holdfast server: a connection that follows sessions. Emits `HoldfastEvents`.
 *
 * @example
 * const holdfast = new Holdfast({ url: "/ws/" });
 * holdfast.connect();
 * const session = holdfast.session(id);
 */
export class Holdfast extends /** @type {new () => EventsOf<HoldfastEvents>} */ (EventTarget) {
  /** Whether unsent signals outlive this page; null until known. @type {boolean|null} */
  keepsUnsent = null;
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
  /** Deadlines of receipts by signal id, ms. @type {Map<string, number>} */
  #receiptsDue = new Map();
  #wakeAt = Infinity;
  /** @type {import("./connection-state.js").ConnectionEvent[]} */
  #events = [];
  /** @type {(() => void)|null} */
  #stopWatching = null;

  /**
   * @param {object} [options]
   * @param {string} [options.url] address of the server's WebSocket, absolute or relative to the page
   * @param {string} [options.api] address of its HTTP API, likewise, with the last slash
   * @param {import("./token.js").TokenProvider|null} [options.token] returns the user's token, called whenever
   *   one is needed; null to authenticate by the site's cookies
   * @param {Storage|null} [options.storage] remembers the transport that worked
   * @param {import("./shared-signals.js").Sharing} [options.share] persists unsent signals and shares them with other
   *   tabs
   * @param {typeof globalThis.WebSocket|null} [options.WebSocket] null for HTTP only; this and the next four are for
   *   tests
   * @param {typeof globalThis.fetch|null} [options.fetch] null for WebSocket only
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
    WebSocket = globalThis.WebSocket,
    fetch = globalThis.fetch?.bind(globalThis),
    clock = systemClock,
    share = lazySharing(page, clock),
    random = Math.random,
  } = {}) {
    super();
    this.#options = { url, api, share, WebSocket, fetch, clock, random, page };
    this.#timers = new Timers(clock);
    this.#token = new Token(token, clock);
    const attaches = (/** @type {boolean} */ returning) =>
      [...this.#sessions.values()].flatMap((session) => session.attachFrame(returning) ?? []);
    const transports = transportsOf({ ...this.#options, token: this.#token, attaches });
    this.#transport = new TransportManager({ transports, clock, storage });
    this.#transport.onopen = (frame, bytes) => this.#opened(frame, bytes);
    this.#transport.onframe = (frame, bytes) => this.#receive(frame, bytes);
    this.#transport.onclose = (code, generation) => this.#dispatch({ type: "dropped", code, generation });
    this.#transport.onchange = () => this.#emitConnection();
  }

  /** Open the connection. */
  connect() {
    this.#options.share.watch?.((keeps) => this.#emit("keeping", (this.keepsUnsent = keeps)));
    this.#dispatch({ type: "open" });
  }

  /** Retry now, on request of the user. */
  retry() {
    this.#dispatch({ type: "retry" });
  }

  /** Close the connection. Sessions stay, and go on after the next `connect()`. */
  close() {
    this.#dispatch({ type: "close" });
  }

  /**
   * Snapshot of the connection. `reason` (`{code, message}` or null): why it is not connected. `transport`: the one in
   * use, or null. `transportReason` (`{code, message}` or null): why no better one is used. Times are ms since 1970, or
   * null: `since` (start of the state), `transportSince`, `lostAt` (loss of the last good connection), `retryAt` (next
   * retry), `lastGoodAt` (last frame). `actor`: the identity that the latest connection acted as, to recognize one's
   * own signals.
   */
  get connection() {
    const { state, since, lostAt, retryAt, reason } = this.#connection;
    const [lastGoodAt, actor] = [this.#lastGoodAt, this.#actor];
    return { state, since, lostAt, retryAt, reason, lastGoodAt, actor, ...this.#transport.status };
  }

  /**
   * Follow a session: the same object for the same id, until each caller has called its `detach()`. `replaced`: keep
   * replaced messages too.
   * @param {string} id @param {{replaced?: boolean}} [options] @returns {Session}
   */
  session(id, options = {}) {
    const known = this.#sessions.get(id)?.retain();
    if (known) return known;
    const { clock, random, share } = this.#options;
    const session = new Session(id, options, {
      now: clock.now,
      random,
      share,
      schedule: () => this.#schedule(),
      post: (frames) => this.#post(frames),
      leave: () => this.#leave(session),
      rest: () => this.#rest(),
    });
    this.#sessions.set(id, session);
    if (this.#limits) session.connected(this.#limits);
    return session;
  }

  /**
   * Create a session, or find the one with this `external_id`. Rejects with `code`, `message` and `offline` (whether the
   * server could not be reached).
   * @param {{external_id?: string, title?: string, agent?: string, policy?: string}} [fields]
   */
  async createSession(fields) {
    return (await this.#rest()).createSession(fields);
  }

  /** A page of the user's sessions, newest first. @param {string|null} [next] `next` of the page before */
  async listSessions(next) {
    return (await this.#rest()).listSessions(next);
  }

  async #rest() {
    const { Rest } = await import("./network/rest.js");
    return new Rest({ ...this.#options, token: this.#token });
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

  // One event at a time: an effect or a listener may dispatch the next one.
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

  /** @param {keyof HoldfastEvents} type @param {unknown} detail */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #emitConnection() {
    this.#emit("connection", this.connection);
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

  /** @param {string} name of the timer, and of the event it dispatches @param {number} ms */
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

  // Frames in flight on the previous transport may be lost.
  #resume() {
    for (const session of this.#sessions.values()) {
      session.disconnected();
      if (this.#limits) session.connected(this.#limits);
    }
  }

  // --- Page events ---

  #watch() {
    const idle = IDLE.includes(this.#connection.state);
    if (idle) this.#stopWatching?.();
    if (idle) this.#stopWatching = null;
    else this.#stopWatching ??= watchPage(this.#options.page, this.#options.clock, (event) => this.#notice(event));
  }

  /** @param {import("./page-lifecycle.js").PageEvent} event */
  #notice(event) {
    const toBackground = () => this.#transport.setBackground(true);
    if (event === "hidden") this.#timers.start("background", BACKGROUND_AFTER_MS, toBackground);
    else this.#dispatch({ type: event === "network" ? "woken" : event });
    if (event === "online" || event === "network") this.#transport.networkChanged();
    if (event !== "woken") return;
    this.#timers.stop("background");
    this.#transport.setBackground(false);
  }

  // --- Frames from the server ---

  /** @param {Frame} frame @param {number} bytes */
  #opened(frame, bytes) {
    this.#limits = frame.limits;
    this.#actor = frame.actor;
    this.#heartbeat = new Heartbeat(frame.heartbeat_ms, this.#options.clock.now());
    this.#renewLater();
    this.#receive(frame, bytes);
    this.#dispatch({ type: "connected", recoveryWindowMs: frame.recovery_window_ms });
    // While the server is in reach: a later network may block WebSockets, and a later release have other files.
    if (this.#options.fetch) loadHttp().catch(() => {});
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
      this.#token.forget(); // expected after a sleep: a fresh one may be available
      reason.retryable = true;
    }
    // Before the `connected` frame, an error can only be about the connection.
    if (endsConnection(reason.code) || !this.#limits) this.#dispatch({ type: "refused", reason });
    else if (session !== undefined) this.#sessions.get(session)?.receive(frame, bytes);
    else this.#emit("error", reason);
  }

  // --- Token ---

  #renewLater() {
    const ms = this.#token.renewAt - this.#options.clock.now();
    // One that has expired already, by this device's clock, isn't asked for again and again.
    if (ms < Infinity) this.#timers.start("token", ms > 0 ? ms : RENEW_AGAIN_MS, () => this.#renew());
  }

  // Renew the token on the open connection. It is early enough to ask again if none is available now.
  async #renew() {
    try {
      const token = await this.#token.fresh();
      if (this.#limits) this.#post([{ type: "authenticate", token }]);
      this.#renewLater();
    } catch {
      if (this.#limits) this.#timers.start("token", RENEW_AGAIN_MS, () => this.#renew());
    }
  }

  // --- Deadlines ---

  // One timer for the earliest deadline: heartbeat, receipt or session.
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
    if (late) this.#heartbeat?.recordFrame(now); // the check decides sooner
    this.#dispatch({ type: late ? "woken" : "silent" });
  }

  #missReceipts() {
    this.#receiptsDue.clear();
    this.#dispatch({ type: "unanswered" });
  }
}
