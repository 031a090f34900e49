// What the HTTP transports share. A transport is one *exchange* (a request and its answer) after the other: to follow
// other sessions, and to see whether the server is there, the next one begins beside the one that carries frames, and
// takes its place when it is greeted. Both may bring the same events: a session applies each once.

import { GREETING_MS } from "../transport-choice.js";
import { Timers } from "../timers.js";
import { poll } from "./poll.js";
import { ABNORMAL } from "./socket.js";
import { stream } from "./stream.js";

/** @typedef {import("../protocol.js").Frame} Frame */
/** @typedef {import("./socket.js").Transport} Transport */
/**
 * Rejects with a `Refusal` for an HTTP error.
 * @typedef {(path: string, body: object, abort?: AbortController) => Promise<Response>} Post
 */
/** @typedef {{attach: Frame[], waitMs: number, abort: AbortController}} ExchangeRequest */
/**
 * Hands over frames as they come, and resolves at the answer's end.
 * @typedef {(post: Post, asked: ExchangeRequest, deliver: (frame: Frame) => void) => Promise<void>} Carry
 */
/** Since when, and what its `going-away` said; ms. @typedef {ExchangeRequest & {since: number, leaving: number|null}} Exchange */
/**
 * @typedef {object} HttpOptions
 * @property {string} api address of the API, with its last slash
 * @property {typeof fetch} fetch
 * @property {import("../token.js").Token} token
 * @property {import("../timers.js").Clock} clock
 * @property {(returning: boolean) => Frame[]} attaches what the sessions have to ask for now; `returning`: not as a matter
 *   of routine, so that what it brings is a catch-up
 */

// An answer that breaks off after this long was cut by something on the way that bears no longer ones: the server is
// there, and the next one goes on where it ended.
export const LASTING_MS = 5_000;
// As long as the server allows.
export const WAIT_MS = 25_000;
// While nobody sees the page, one short poll every so often leaves its connection to others in between.
export const BACKGROUND_POLL_MS = 15_000;

// As many connections as a browser keeps to one server, by HTTP/1.1.
export const POOL = 6;
// A server that is there answers a poll that doesn't wait within this.
export const FLUSH_MS = 1_000;

const BLOCKED = { code: "blocked", message: "Something between here and the server refuses it", retryable: true };

/** @implements {Transport} */
export class HttpTransport {
  /** @type {Transport["onframe"]} */
  onframe = () => {};
  /** @type {Transport["onclose"]} */
  onclose = () => {};
  #options;
  #timers;
  /** @type {Exchange|null} whose frames count */
  #current = null;
  /** @type {Exchange|null} beside it, not greeted yet */
  #next = null;
  /** @type {Set<string>} sessions that ask again when they want to */
  #refused = new Set();
  /** @type {Frame[]} while an exchange is greeted: what sessions would ask now is asked already */
  #asked = [];
  #waitMs = WAIT_MS;
  #greeted = false;
  #beginning = false;
  #background = false;
  #closed = false;

  /** @param {"stream"|"poll"} name @param {HttpOptions} options */
  constructor(name, options) {
    this.name = name;
    this.#options = options;
    this.#timers = new Timers(options.clock);
  }

  open() {
    this.#beginSoon();
  }

  /** @param {Frame} frame */
  send(frame) {
    if (this.#closed) return false;
    if (frame.type === "signal") this.#signal(frame);
    else if (frame.type === "attach") this.#attach(frame.session);
    else if (frame.type === "detach" || frame.type === "authenticate") this.#beginSoon();
    else if (frame.type === "ping" && this.#next?.waitMs !== 0) this.#beginSoon();
    return true; // an `ack` isn't needed: HTTP has flow control of its own
  }

  close() {
    queueMicrotask(() => this.#lost(1000));
  }

  /** @param {boolean} background */
  setBackground(background) {
    if (this.#background === background) return;
    this.#background = background;
    this.#beginSoon();
  }

  // Idle connections die in silence too, and each request would hang on one of them in turn. One that is given up ends
  // its connection, so they all are used up at once; meanwhile what is asked next waits in the browser's queue.
  flush() {
    const abort = new AbortController();
    const asked = { attach: [], waitMs: 0, abort };
    for (let count = 0; count < POOL; count += 1) poll(this.#post, asked, () => {}).catch(() => {});
    this.#options.clock.setTimeout(() => abort.abort(), FLUSH_MS);
  }

  /** @param {string} session */
  #attach(session) {
    if (this.#asked.some((attach) => attach.session === session)) return;
    this.#refused.delete(session);
    this.#beginSoon();
  }

  // --- Down ---

  get #polls() {
    return this.#background || this.name === "poll";
  }

  // What is asked for in one turn of the event loop goes into one request.
  #beginSoon() {
    if (this.#beginning) return;
    this.#beginning = true;
    queueMicrotask(() => {
      this.#beginning = false;
      if (!this.#closed) this.#begin(0);
    });
  }

  /** @param {number} waitMs */
  #begin(waitMs) {
    const { attaches, clock } = this.#options;
    this.#next?.abort.abort();
    this.#timers.stop("background");
    const attach = attaches(this.#greeted && waitMs === 0).filter(({ session }) => !this.#refused.has(session));
    /** @type {Exchange} */
    const exchange = { attach, waitMs, abort: new AbortController(), since: clock.now(), leaving: null };
    this.#next = exchange;
    if (this.#greeted) this.#timers.start("greeting", GREETING_MS + waitMs, () => this.#loseInSilence());
    const carry = this.#polls ? poll : stream;
    carry(this.#post, exchange, (frame) => this.#deliver(frame, exchange)).then(
      () => this.#ended(exchange, null),
      (problem) => this.#ended(exchange, problem),
    );
  }

  /** @param {Frame} frame @param {Exchange} exchange */
  #deliver(frame, exchange) {
    if (exchange === this.#next && frame.type === "connected") this.#greet(frame, exchange);
    else if (exchange === this.#current) this.#handleFrame(frame, exchange);
  }

  /** @param {Frame} frame @param {Exchange} exchange */
  #greet(frame, exchange) {
    this.#current?.abort.abort();
    this.#current = exchange;
    this.#next = null;
    this.#timers.stop("greeting");
    this.#waitMs = Math.min(this.#waitMs, 2 * frame.heartbeat_ms); // well before a silence would be noticed
    this.#greeted = true;
    this.#asked = exchange.attach;
    this.onframe(frame, 0);
    this.#asked = [];
  }

  /** @param {Frame} frame @param {Exchange} exchange */
  #handleFrame(frame, exchange) {
    if (frame.type === "going-away") exchange.leaving = frame.reconnect_in_ms;
    if (frame.type === "error" && frame.session !== undefined) this.#refused.add(frame.session);
    // The end of a stream's time is nobody else's business.
    if (exchange.leaving !== 0) this.onframe(frame, 0);
  }

  /** @param {Exchange} exchange @param {unknown} problem why it broke off; null when it ended by itself */
  #ended(exchange, problem) {
    const greeted = exchange === this.#current;
    if (this.#closed || (!greeted && exchange !== this.#next)) return;
    if (problem instanceof Refusal && problem.answer) {
      this.onframe({ type: "error", ...problem.answer }, 0);
      return this.#lost(4000 + problem.status);
    }
    if (greeted) this.#current = null;
    else this.#next = null;
    if (this.#next || exchange.leaving) return; // the client comes back at the time that the server gave
    const lasted = this.#options.clock.now() - exchange.since;
    const whole = greeted && problem === null && (this.#polls || exchange.leaving === 0);
    if (!whole && lasted < LASTING_MS) return this.#lost(ABNORMAL);
    if (!whole && exchange.waitMs) this.#waitMs = lasted / 2;
    if (this.#background) this.#timers.start("background", BACKGROUND_POLL_MS, () => this.#begin(0));
    else this.#begin(this.name === "poll" ? Math.round(this.#waitMs) : 0);
  }

  #loseInSilence() {
    this.flush();
    this.#lost(ABNORMAL);
  }

  /** @param {number} code */
  #lost(code) {
    if (this.#closed) return;
    this.#closed = true;
    this.#timers.stopAll();
    this.#current?.abort.abort();
    this.#next?.abort.abort();
    this.onclose(code);
  }

  // --- Up ---

  /** @param {Frame} frame */
  async #signal({ session, id, kind, payload }) {
    try {
      const response = await this.#post(`sessions/${session}/signals/`, { id, kind, payload });
      this.#answered(await response.json());
    } catch (problem) {
      // The answer is a rejection, or the error alone. Whoever else refuses it says nothing about what comes down.
      if (problem instanceof Refusal) this.#answered({ type: "error", session, id, ...(problem.answer ?? BLOCKED) });
      else this.#lost(ABNORMAL);
    }
  }

  /** @param {Frame} frame */
  #answered(frame) {
    if (!this.#closed) this.onframe(frame, 0);
  }

  /** @type {Post} */
  #post = async (path, body, abort) => {
    const { api, fetch, token } = this.#options;
    /** @type {Record<string, string>} */
    const headers = { "Content-Type": "application/json" };
    if (token.isUsed) headers.Authorization = `Bearer ${await token.fresh()}`;
    else headers["X-CSRFToken"] = csrfToken();
    const request = { method: "POST", headers, body: JSON.stringify(body), signal: abort?.signal };
    const response = await fetch(api + path, request);
    if (response.ok) return response;
    throw new Refusal(response.status, await response.json().catch(() => null));
  };
}

/** An HTTP error. One without the server's own words comes from something on the way. */
class Refusal extends Error {
  /** @param {number} status @param {unknown} answer */
  constructor(status, answer) {
    super(`HTTP ${status}`);
    this.status = status;
    /** @type {{code: string}|null} the server's error or receipt */
    this.answer = isAnswer(answer) ? answer : null;
  }
}

/** @param {any} answer @returns {answer is {code: string}} */
function isAnswer(answer) {
  return typeof answer?.code === "string" || answer?.type === "receipt";
}

function csrfToken() {
  return globalThis.document?.cookie.match(/(?:^|; )csrftoken=([^;]*)/)?.[1] ?? "";
}
