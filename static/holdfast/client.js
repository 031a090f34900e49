// The connection: it executes the state machine's effects, hands frames to sessions, and never trusts a silent socket.

import { Heartbeat } from "./heartbeat.js";
import { pageStorage, watchPage } from "./page.js";
import { byteLength, closingError, parseFrame } from "./protocol.js";
import { Session } from "./session.js";
import { sharing } from "./shared-signals.js";
import { ABNORMAL, SocketTransport } from "./socket.js";
import { initialConnection, transition } from "./states.js";

// A server that is there answers a ping within this.
export const CHECK_MS = 2_000;
// A timer that is this late slept, with the page: the server may have spoken meanwhile, so it is asked first.
export const LATE_MS = 1_000;
// setTimeout fires at once when asked for more.
const LONGEST_TIMER_MS = 2 ** 31 - 1;

const TIMER_EVENTS = {
  connect: "connect-timeout",
  retry: "retry-timer",
  window: "window-over",
  close: "close-timeout",
  check: "silent",
};

const systemClock = {
  now: () => Date.now(),
  setTimeout: (action, ms) => setTimeout(action, ms),
  clearTimeout: (timer) => clearTimeout(timer),
};

/**
 * A connection that follows sessions. Its `connection` event says that `connection` has changed.
 *
 * @example
 * const holdfast = new Holdfast({ url: "/ws/" });
 * holdfast.connect();
 * const session = holdfast.session(id);
 */
export class Holdfast extends EventTarget {
  #connection = initialConnection();
  #options;
  /** @type {import("./socket.js").Transport|null} */
  #transport = null;
  #heartbeat = null;
  #limits = null;
  #lastGoodAt = null;
  /** @type {Map<string, Session>} */
  #sessions = new Map();
  #timers = new Map();
  #wakeAt = Infinity;
  #events = [];

  /**
   * @param {object} [options]
   * @param {string} [options.url] of the server's WebSocket, absolute or relative to the page
   * @param {Storage|null} [options.storage]
   * @param {ReturnType<typeof sharing>} [options.share] keeps unsent signals over a reload, with the other tabs
   * @param {typeof WebSocket} [options.WebSocket] this and the next three are for tests
   * @param {typeof systemClock} [options.clock]
   * @param {() => number} [options.random]
   * @param {Window} [options.page]
   */
  constructor({
    url = "/ws/",
    page = globalThis,
    storage = pageStorage(page),
    share = sharing(page),
    WebSocket = globalThis.WebSocket,
    clock = systemClock,
    random = Math.random,
  } = {}) {
    super();
    this.#options = { url, storage, share, WebSocket, clock, random };
    watchPage(page, (type) => this.#dispatch({ type }));
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
   * `state`; `reason` (`{code, message}` or null) why it isn't connected; `transport`, its name or null; and times in ms
   * since 1970, or null: `since` it is in the state, `lostAt` the last good connection was lost, `retryAt` the next
   * retry is due, `lastGoodAt` the last frame came.
   */
  get connection() {
    const { state, since, lostAt, retryAt, reason } = this.#connection;
    const transport = this.#transport?.name ?? null;
    return { state, since, lostAt, retryAt, reason, transport, lastGoodAt: this.#lastGoodAt };
  }

  /** Follow a session. @param {string} id @returns {Session} the same for the same id */
  session(id) {
    return this.#sessions.get(id) ?? this.#follow(id);
  }

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

  #leave(session) {
    if (this.#sessions.get(session.id) !== session) return;
    this.#sessions.delete(session.id);
    session.disconnected();
    if (this.#limits) this.#post([{ type: "detach", session: session.id }]);
  }

  #post(frames) {
    const sent = frames.every((frame) => this.#transport?.send(JSON.stringify(frame)));
    if (!sent) this.#dispatch({ type: "dropped", code: ABNORMAL });
    this.#schedule();
  }

  // One event after the other: an effect, or who is told, may cause the next.
  #dispatch(event) {
    this.#events.push(event);
    if (this.#events.length > 1) return;
    while (this.#events.length) {
      this.#transition(this.#events[0]);
      this.#events.shift();
    }
  }

  #transition(event) {
    const { clock, random } = this.#options;
    const { connection, effects } = transition(this.#connection, { ...event, now: clock.now(), random: random() });
    const changed = connection !== this.#connection;
    this.#connection = connection;
    for (const effect of effects) this.#perform(effect);
    if (changed) this.dispatchEvent(new CustomEvent("connection", { detail: this.connection }));
  }

  #perform({ type, name, ms, generation }) {
    if (type === "startTimer") this.#startTimer(name, ms);
    else if (type === "stopTimer") this.#stopTimer(name);
    else if (type === "openTransport") this.#openTransport(generation);
    else if (type === "closeTransport") this.#closeTransport();
    else if (type === "check") this.#check();
    else this.#resume();
  }

  #startTimer(name, ms, action = () => this.#dispatch({ type: TIMER_EVENTS[name] })) {
    const { clock } = this.#options;
    this.#stopTimer(name);
    this.#timers.set(name, clock.setTimeout(() => this.#timers.delete(name) && action(), Math.min(ms, LONGEST_TIMER_MS)));
  }

  #stopTimer(name) {
    this.#options.clock.clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }

  #openTransport(generation) {
    this.#closeTransport();
    const transport = new SocketTransport(this.#options.url, this.#options.WebSocket);
    transport.onframe = (text) => transport === this.#transport && this.#receive(text, generation);
    transport.onclose = (code) => this.#dispatch({ type: "dropped", code, generation });
    this.#transport = transport;
    transport.open();
  }

  #closeTransport() {
    this.#transport?.close();
    this.#transport = null;
    this.#limits = null;
    this.#stopTimer("check");
    this.#stopTimer("wake");
    this.#wakeAt = Infinity;
    for (const session of this.#sessions.values()) session.disconnected();
  }

  #check() {
    if (this.#timers.has("check")) return;
    this.#startTimer("check", CHECK_MS);
    this.#post([{ type: "ping" }]);
  }

  #resume() {
    for (const session of this.#sessions.values()) session.connected(this.#limits);
  }

  #receive(text, generation) {
    const now = this.#options.clock.now();
    this.#lastGoodAt = now;
    this.#heartbeat?.recordFrame(now);
    this.#stopTimer("check");
    const frame = parseFrame(text);
    if (frame) this.#take(frame, byteLength(text), generation);
    this.#schedule();
  }

  #take(frame, bytes, generation) {
    if (frame.type === "connected") this.#connected(frame, generation);
    else if (frame.type === "going-away") this.#goingAway(frame, generation);
    else if (frame.type === "error") this.#error(frame, bytes, generation);
    else if (frame.type === "heartbeat") this.#sessions.forEach((session) => session.receive(frame, bytes));
    else this.#sessions.get(frame.session)?.receive(frame, bytes);
  }

  #connected({ limits, heartbeat_ms, recovery_window_ms: recoveryWindowMs }, generation) {
    this.#limits = limits;
    this.#heartbeat = new Heartbeat(heartbeat_ms, this.#lastGoodAt);
    this.#dispatch({ type: "connected", recoveryWindowMs, generation });
  }

  #goingAway({ reconnect_in_ms: reconnectInMs }, generation) {
    this.#dispatch({ type: "going-away", reconnectInMs, generation });
  }

  #error(frame, bytes, generation) {
    const { session, code, message, retryable } = frame;
    const reason = { code, message, retryable };
    if (closingError(code)) this.#dispatch({ type: "refused", reason, generation });
    else if (session !== undefined) this.#sessions.get(session)?.receive(frame, bytes);
    else this.dispatchEvent(new CustomEvent("error", { detail: reason }));
  }

  // One timer, for whatever is due first: the server's heartbeat, or something in a session.
  #schedule() {
    if (!this.#limits) return;
    const deadlines = [...this.#sessions.values()].map((session) => session.deadline);
    const due = Math.min(this.#heartbeat.deadline, ...deadlines);
    if (due >= this.#wakeAt) return;
    this.#wakeAt = due;
    this.#startTimer("wake", Math.max(0, due - this.#options.clock.now()), () => this.#wake());
  }

  #wake() {
    const now = this.#options.clock.now();
    const late = now - this.#wakeAt > LATE_MS;
    this.#wakeAt = Infinity;
    if (this.#heartbeat.isStale(now)) this.#silence(late, now);
    for (const session of this.#sessions.values()) if (session.deadline <= now) session.tick();
    this.#schedule();
  }

  #silence(late, now) {
    if (late) this.#heartbeat.recordFrame(now); // the check decides, and sooner
    this.#dispatch({ type: late ? "woken" : "silent" });
  }
}
