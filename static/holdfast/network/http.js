// The HTTP transports, stream and long poll: a sequence of *exchanges* (a request and its answer). To follow other
// sessions, or to check the server, the next exchange starts beside the current one and replaces it with its
// `connected` frame. Both may bring the same events; a session applies each once.

import { GREETING_MS } from "../transport-choice.js";
import { Timers } from "../timers.js";
import { poll } from "./poll.js";
import { csrfToken } from "./csrf-token.js";
import { ABNORMAL } from "./socket.js";
import { stream } from "./stream.js";
import { TabGroup } from "./tab-group.js";

/** @typedef {import("../protocol.js").Frame} Frame */
/** @typedef {import("./socket.js").Transport} Transport */
/**
 * Sends a request. Rejects with a `Refusal` for an HTTP error.
 * @typedef {(path: string, body: object, abort?: AbortController) => Promise<Response>} Post
 */
/** @typedef {{attach: Frame[], waitMs: number, abort: AbortController}} ExchangeRequest */
/**
 * Runs an exchange: delivers frames as they come, resolves at the end of the answer.
 * @typedef {(post: Post, asked: ExchangeRequest, deliver: (frame: Frame) => void) => Promise<void>} ExchangeRunner
 */
/**
 * A running exchange: its start, and the delay of its `going-away`; ms.
 * @typedef {ExchangeRequest & {since: number, leaving: number|null}} Exchange
 */
/**
 * @typedef {object} HttpOptions
 * @property {string} api address of the API, with the last slash
 * @property {typeof fetch} fetch
 * @property {import("../token.js").Token} token
 * @property {import("../timers.js").Clock} clock
 * @property {Window & typeof globalThis} page
 * @property {string} holder name of those whose tabs may share its exchanges: site and identity
 * @property {(returning: boolean) => Frame[]} attaches attach frames of the sessions; `returning`: after an
 *   interruption, so that the answer is a catch-up
 */

// Duration after which a broken answer counts as cut by a proxy's time limit: the server is there, and the next request
// resumes.
export const LASTING_MS = 5_000;
// Wait of a long poll: the server's maximum.
export const WAIT_MS = 25_000;
// Interval of short polls while the page is hidden, or waits for frames of another tab, which frees its connection in
// between.
export const IDLE_POLL_MS = 15_000;
// Sessions that a server lets one connection follow, if it isn't set otherwise.
const MAX_ATTACHES = 64;

// A browser's limit of connections to one server, by HTTP/1.1.
export const POOL = 6;
// Deadline for the answer to a poll with no wait.
export const FLUSH_MS = 1_000;

const BLOCKED = { code: "blocked", message: "A proxy on the way refuses the request", retryable: true };

/** @implements {Transport} */
export class HttpTransport {
  /** @type {Transport["onframe"]} */
  onframe = () => {};
  /** @type {Transport["onclose"]} */
  onclose = () => {};
  #options;
  #timers;
  #tabs;
  /** @type {Exchange|null} the one in use */
  #current = null;
  /** @type {Exchange|null} the next one, before its `connected` frame */
  #next = null;
  /** @type {Set<string>} sessions refused by the server, left out until they ask again */
  #refused = new Set();
  /** @type {Frame[]} attaches of the exchange that is being connected: sessions need not ask again */
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
    this.#tabs = new TabGroup(options.page, `${name} ${options.holder}`);
    this.#tabs.onlead = this.#tabs.onfollowed = () => this.#beginSoon();
    this.#tabs.onframe = (frame) => this.#passed(frame);
  }

  open() {
    this.#tabs.join(() => this.#beginSoon());
  }

  /** @param {Frame} frame */
  send(frame) {
    if (this.#closed) return false;
    if (frame.type === "signal") this.#signal(frame);
    else if (frame.type === "attach") this.#attach(frame.session);
    else if (frame.type === "detach" || frame.type === "authenticate") this.#beginSoon();
    else if (frame.type === "ping" && this.#next?.waitMs !== 0) this.#beginSoon();
    return true; // an `ack` is not needed: HTTP has its own flow control
  }

  close() {
    queueMicrotask(() => this.#lost(1000));
  }

  /** @param {boolean} background */
  setBackground(background) {
    if (this.#background === background) return;
    this.#background = background;
    if (background) this.#tabs.leave();
    if (background) this.#beginSoon();
    else this.#tabs.join(() => this.#beginSoon());
  }

  // Use up the browser's idle connections, which may be dead too: each further request would hang on one. An aborted
  // request ends its connection; meanwhile new requests wait in the browser's queue.
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

  /** Whether it keeps no connection: the page is hidden, or another tab's exchanges bring its frames. */
  get #idles() {
    return this.#background || !this.#tabs.leads;
  }

  get #polls() {
    return this.#idles || this.name === "poll";
  }

  // Requests of one turn of the event loop are combined.
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
    this.#timers.stop("idle");
    const own = attaches(this.#greeted && waitMs === 0).filter(({ session }) => !this.#refused.has(session));
    const attach = this.#idles ? own : [...own, ...this.#forOthers(own)];
    /** @type {Exchange} */
    const exchange = { attach, waitMs, abort: new AbortController(), since: clock.now(), leaving: null };
    this.#next = exchange;
    if (this.#greeted) this.#timers.start("greeting", GREETING_MS + waitMs, () => this.#loseInSilence());
    const runExchange = this.#polls ? poll : stream;
    runExchange(this.#post, exchange, (frame) => this.#deliver(frame, exchange)).then(
      () => this.#ended(exchange, null),
      (problem) => this.#ended(exchange, problem),
    );
  }

  /** Attaches for sessions of other tabs, from now on: each of these tabs catches up itself. @param {Frame[]} own */
  #forOthers(own) {
    const taken = new Set([...own.map(({ session }) => session), ...this.#refused]);
    const others = this.#tabs.others.filter((session) => !taken.has(session));
    const room = Math.max(0, MAX_ATTACHES - own.length);
    return others.slice(0, room).map((session) => ({ type: "attach", session, rewind: 0 }));
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
    this.#waitMs = Math.min(this.#waitMs, 2 * frame.heartbeat_ms); // shorter than the time until silence is noticed
    this.#greeted = true;
    this.#asked = exchange.attach;
    this.onframe(frame, 0);
    this.#asked = [];
    this.#tabs.follow(exchange.attach.filter(({ rewind }) => rewind !== 0).map(({ session }) => session));
  }

  /** @param {Frame} frame @param {Exchange} exchange */
  #handleFrame(frame, exchange) {
    if (frame.type === "going-away") exchange.leaving = frame.reconnect_in_ms;
    if (frame.type === "error" && frame.session !== undefined) this.#refused.add(frame.session);
    if (this.#tabs.leads) this.#tabs.pass(frame.type === "attached" ? tailOf(frame) : frame);
    // The scheduled end of a stream concerns this transport only.
    if (exchange.leaving !== 0) this.onframe(frame, 0);
  }

  /** @param {Exchange} exchange @param {unknown} problem why it failed; null if it ended by itself */
  #ended(exchange, problem) {
    const greeted = exchange === this.#current;
    if (this.#closed || (!greeted && exchange !== this.#next)) return;
    if (problem instanceof Refusal && problem.answer) {
      this.onframe({ type: "error", ...problem.answer }, 0);
      return this.#lost(4000 + problem.status);
    }
    if (greeted) this.#current = null;
    else this.#next = null;
    if (this.#next || exchange.leaving) return; // the client reconnects at the announced time
    const lasted = this.#options.clock.now() - exchange.since;
    const whole = greeted && problem === null && (this.#polls || exchange.leaving === 0);
    if (!whole && lasted < LASTING_MS) return this.#lost(ABNORMAL);
    if (!whole && exchange.waitMs) this.#waitMs = lasted / 2;
    if (this.#idles) this.#pollLater();
    else this.#begin(this.name === "poll" ? Math.round(this.#waitMs) : 0);
  }

  #pollLater() {
    this.#timers.start("idle", IDLE_POLL_MS, () => this.#begin(0));
  }

  /** A frame came by another tab's exchange. @param {Frame} frame */
  #passed(frame) {
    if (this.#closed || !this.#greeted || this.#background) return;
    if (this.#timers.has("idle")) this.#pollLater();
    this.onframe(frame, 0);
  }

  #loseInSilence() {
    this.flush();
    this.#lost(ABNORMAL);
  }

  /** @param {number} code */
  #lost(code) {
    if (this.#closed) return;
    this.#closed = true;
    this.#tabs.leave();
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
      /** @type {Frame|null} */
      const answer = await response.json();
      if (!answer || !isAnswer(answer)) throw new TypeError("no receipt"); // another server's answer
      this.#answered(answer);
    } catch (problem) {
      // The answer is a rejection or an error. A refusal by a proxy says nothing about the frames that come down.
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

/** An HTTP error. Without an answer in the API's format, it comes from a proxy. */
class Refusal extends Error {
  /** @param {number} status @param {unknown} answer */
  constructor(status, answer) {
    super(`HTTP ${status}`);
    this.status = status;
    /** @type {{code: string}|null} the server's error or receipt */
    this.answer = isAnswer(answer) ? answer : null;
  }
}

/** An attached session's tail as a heartbeat: the tab that follows it notices what it lacks. @param {Frame} attached */
function tailOf({ session, cursor }) {
  return { type: "heartbeat", session, tails: { [session]: cursor } };
}

/** @param {any} answer @returns {answer is {code: string}} */
function isAnswer(answer) {
  return typeof answer?.code === "string" || answer?.type === "receipt";
}
