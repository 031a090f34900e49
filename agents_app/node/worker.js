// A worker: claims the runs of its agents at a site by long polls, and answers them.

import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import { Run } from "./run.js";
import { Site } from "./site.js";

const POLL_MS = 15_000; // that a claim waits for news
const SHORT_POLL_MS = 200; // of the first claim, which tells the lease, and of a drain's, which ends soon after its last run
const LATE_MS = 5_000; // after which a poll counts as lost
const POLL_PAUSE_MS = 20; // between two polls: one may bring what the worker is about to do
const BEAT_MS = 3_000; // at most
const WHILE_BUSY = ["queue", "steer", "interrupt", "reject"];
const HEARD = 1000; // newest signals that a claim names; an earlier one comes again, and is known

/** @typedef {Record<string, any>} Frame */
/** @typedef {import("./run.js").Agent} Agent */

export class Worker {
  #site;
  #who;
  #most;
  #drainMs;
  #leaseMs = 0; // unknown before the first answer
  /** @type {Promise<void> | null} */
  #beating = null;
  /** @type {Map<string, Agent>} */
  #agents = new Map();
  /** @type {Record<string, string>} by agent */
  #whileBusy = {};
  /** @type {Map<string, Run>} */
  #runs = new Map();
  /** @type {Set<Promise<void>>} */
  #work = new Set();
  #isStopping = false;
  #poll = new AbortController();
  #end = new AbortController();

  /**
   * @param {object} options
   * @param {string} options.url the site's
   * @param {string | (() => string | Promise<string>)} options.token one with the scope `work` that names the agents,
   *   or a function that returns a fresh one
   * @param {string} options.name this process's, 8 to 64 of A-Z a-z 0-9 _ -; the next process with it fences this one
   * @param {number} [options.most] how many runs at once
   * @param {number} [options.drainMs] how long agents may go on once it is told to stop
   * @param {number} [options.epoch] higher in the next process with the name; the current time by default
   */
  constructor({ url, token, name, most = 100, drainMs = 30_000, epoch = Date.now() }) {
    if (!/^[\w-]{8,64}$/.test(name ?? "")) throw new TypeError(`A worker's name is 8 to 64 of A-Z a-z 0-9 _ -, not ${name}.`);
    this.#site = new Site(url, token);
    if (!Number.isInteger(most) || most < 1 || most > 1000) throw new TypeError(`A worker takes 1 to 1000 runs at once, not ${most}.`);
    this.#who = { producer: name, epoch };
    this.#most = most;
    this.#drainMs = drainMs;
  }

  /**
   * Register an agent.
   * @param {string} name
   * @param {Agent} agent
   * @param {{whileBusy?: import("./index.d.ts").WhileBusy}} [options] whileBusy: what becomes of a message that arrives
   *   while the agent is at work in its session
   * @returns {this}
   */
  agent(name, agent, { whileBusy = "queue" } = {}) {
    if (!WHILE_BUSY.includes(whileBusy)) throw new TypeError(`whileBusy is one of ${WHILE_BUSY.join(", ")}, not ${whileBusy}.`);
    this.#agents.set(name, agent);
    this.#whileBusy[name] = whileBusy;
    return this;
  }

  /**
   * Answer until `stop`, SIGTERM or SIGINT, and let agents at work finish; a second signal interrupts them. Rejects with
   * HoldfastError if the site refuses this worker: its token, its agents, or, as `fenced`, its epoch.
   */
  async run() {
    if (!this.#agents.size) throw new TypeError("The worker has no agent: register one with worker.agent(name, …).");
    const told = () => (this.#isStopping ? this.#interrupt() : this.stop());
    process.on("SIGTERM", told).on("SIGINT", told);
    try {
      await this.#claim();
    } finally {
      await this.#endAll();
      this.#interrupt();
      this.#site.close();
      process.off("SIGTERM", told).off("SIGINT", told);
    }
  }

  /** Claim no more, let the agents at work finish within `drainMs`, and end `run`. */
  stop() {
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.#poll.abort();
    setTimeout(() => this.#interrupt(), this.#drainMs).unref();
  }

  #interrupt() {
    this.#end.abort();
    this.#poll.abort();
  }

  async #claim() {
    while (!this.#end.signal.aborted) {
      const isLast = this.#isStopping;
      this.#poll = new AbortController();
      try {
        await this.#claimOnce(this.#poll.signal);
      } catch (problem) {
        if (!this.#poll.signal.aborted) throw problem;
      }
      if (isLast && !this.#work.size) return;
      await sleep(POLL_PAUSE_MS);
    }
  }

  /** @param {AbortSignal} signal */
  async #claimOnce(signal) {
    const held = [...this.#runs.keys()];
    const signals = [...this.#runs.values()].flatMap(({ inbox }) => [...inbox.heard]).slice(-HEARD);
    const most = this.#isStopping ? 0 : this.#most;
    const about = { agents: [...this.#agents.keys()], while_busy: this.#whileBusy, most, runs: held, signals };
    const waitMs = this.#isStopping || !this.#leaseMs ? SHORT_POLL_MS : POLL_MS;
    const claim = { id: randomBytes(12).toString("base64url"), ...this.#who, ...about, wait_ms: waitMs };
    const [{ result }, ...news] = (await this.#site.ask("/api/work/claim/", claim, { signal, patienceMs: Infinity, answerMs: waitMs + LATE_MS })).frames;
    this.#leaseMs = result.lease_ms;
    this.#beating ??= this.#keepBeating();
    for (const id of held) if (!result.runs.includes(id)) this.#runs.get(id)?.stop("ended");
    for (const frame of news) this.#receive(frame);
  }

  /** @param {Frame} frame */
  #receive(frame) {
    const run = this.#runs.get(frame.run);
    if (frame.type === "run") {
      if (!run) this.#start(new Run(this.#site, this.#who, frame));
    } else if (frame.type === "inbox") run?.inbox.put(frame.signal);
    else if (frame.type === "expired") run?.inbox.expire(frame.approval);
    else if (frame.type === "stop") run?.stop(frame.reason);
  }

  /** @param {Run} run */
  #start(run) {
    const { run: id, agent } = run.frame;
    const answer = this.#agents.get(agent);
    this.#runs.set(id, run);
    const work = (this.#isStopping || !answer ? run.handBack() : run.perform(answer))
      .catch((problem) => console.error(`holdfast-agent: run ${id}: ${problem.message}`))
      .then(() => {
        this.#runs.delete(id);
        this.#work.delete(work);
      });
    this.#work.add(work);
  }

  /** The sign of life between batches. None waits for the one before it, which a dead connection may hold up. */
  async #keepBeating() {
    const { signal } = this.#end;
    while (!signal.aborted) {
      const beat = this.#site.ask("/api/beat/", this.#who, { signal, patienceMs: 0, answerMs: this.#leaseMs });
      beat.catch(() => undefined); // a refusal comes to the claim too
      await sleep(Math.min(BEAT_MS, this.#leaseMs / 3), undefined, { signal }).catch(() => undefined);
    }
  }

  /** Interrupt the agents at work; give their ends a moment to reach the site. */
  async #endAll() {
    for (const run of this.#runs.values()) run.interrupt();
    await Promise.race([Promise.all(this.#work), sleep(5_000, undefined, { ref: false })]);
  }
}
