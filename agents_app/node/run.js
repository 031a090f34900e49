// One run that a worker holds: its agent answers, and its response ends whatever happens.

import { randomBytes } from "node:crypto";

import { AgentFailed, HoldfastError, Stopped } from "./errors.js";
import { Inbox } from "./inbox.js";
import { Response } from "./response.js";
import { Turn } from "./turn.js";

const HISTORY = 50; // messages that an agent receives
const GRACE_MS = 1_000; // for a stopped agent to tidy up; then its response ends without it
const GONE = "The agent's process was stopped before it finished.";
const STOPPED = "Stopped.";
const STOPPED_BUSY = "Stopped. The agent was still busy and was cut off: what it still does is not shown.";
const FAILED = "The agent failed. What it had written is kept; ask again, or see the log of its process.";

/** @typedef {import("./batches.js").Chunk} Chunk */
/** @typedef {Record<string, any>} Frame */
/** @typedef {(turn: Turn) => unknown} Agent */

export class Run {
  #site;
  #who;
  #stop = new AbortController();
  #ending = "abort"; // how it ends when it is stopped; empty: the site has ended it
  inbox = new Inbox();

  /** @param {import("./site.js").Site} site @param {Frame} who @param {Frame} frame */
  constructor(site, who, frame) {
    this.#site = site;
    this.#who = who;
    this.frame = frame;
    const about = { message: frame.message, run: frame.run, ...who };
    const publish = (/** @type {Frame} */ batch) => site.ask(`/api/sessions/${frame.session}/publish/`, { ...about, ...batch });
    this.response = new Response(frame.message, publish, () => this.stop("ended"));
  }

  get signal() {
    return this.#stop.signal;
  }

  /** Stop the agent: a person has, or the run has ended at the site. @param {"cancelled" | "ended"} reason */
  stop(reason) {
    if (reason === "ended") this.#ending = "";
    this.#stop.abort(new Stopped(reason === "ended" ? "The run has ended at the site." : "A person has stopped the answer."));
  }

  /** Stop the agent, and hand its run back or end it as interrupted. */
  interrupt() {
    this.#ending &&= "interrupt";
    this.#stop.abort(new Stopped("The worker stops."));
  }

  /** Run the agent, and end its response. @param {Agent} agent */
  async perform(agent) {
    const answering = this.#answer(agent);
    /** @type {NodeJS.Timeout | undefined} */
    let timer;
    const stopped = this.stopped().catch(() => new Promise((resolve) => (timer = setTimeout(resolve, GRACE_MS))));
    const end = await Promise.race([answering, stopped.then(() => "busy")]);
    clearTimeout(timer);
    await this.#close(this.signal.aborted ? this.#stopChunk(end === "busy") : /** @type {Chunk | null} */ (end)).catch((problem) => {
      if (problem.code !== "fenced") console.error(`holdfast-agent: run ${this.frame.run} could not be ended: ${problem.message}`);
    });
  }

  /** Return the run to the queue. False if it has begun. */
  async handBack() {
    return await this.ask({ type: "hand-back" });
  }

  // For its turn

  /** @param {Chunk} chunk */
  async write(chunk) {
    this.signal.throwIfAborted();
    await this.response.write(chunk);
  }

  /** Write what has to be told of a stopped agent too. @param {Chunk} chunk */
  async writeLast(chunk) {
    await this.response.write(chunk);
    await this.response.flush();
  }

  async flush() {
    this.signal.throwIfAborted();
    await this.response.flush();
  }

  /** End the response well, unless the site has refused any of it. @param {Chunk} chunk */
  async end(chunk) {
    await this.flush();
    await this.response.close(chunk);
  }

  /** Send a request about the run; return its result. @param {Frame} frame */
  async ask(frame) {
    const { session, run } = this.frame;
    const id = randomBytes(12).toString("base64url");
    return (await this.#site.ask("/api/work/", { ...frame, id, session, run, ...this.#who })).result;
  }

  /** Wait until the agent is stopped, and reject. @returns {Promise<never>} */
  stopped() {
    return new Promise((_, reject) => {
      const stop = () => reject(this.signal.reason);
      if (this.signal.aborted) stop();
      this.signal.addEventListener("abort", stop, { once: true });
    });
  }

  /** Return the chunk to end with, or null when it has ended. @param {Agent} agent @returns {Promise<Chunk | null>} */
  async #answer(agent) {
    try {
      const turn = new Turn(this, await this.#history());
      await turn.begin();
      await agent(turn);
      await turn.finish();
      return null;
    } catch (problem) {
      if (this.signal.aborted) return null;
      const told = problem instanceof AgentFailed || problem instanceof HoldfastError;
      console.error(`holdfast-agent: agent ${this.frame.agent} failed in run ${this.frame.run}:`, problem);
      return { type: "error", errorText: told ? problem.message : FAILED };
    }
  }

  /** @param {boolean} isBusy its agent goes on all the same @returns {Chunk | null} */
  #stopChunk(isBusy) {
    if (!this.#ending) return null;
    const stopped = isBusy ? STOPPED_BUSY : STOPPED;
    return { type: this.#ending, reason: this.#ending === "abort" ? stopped : GONE };
  }

  /** @param {Chunk | null} chunk */
  async #close(chunk) {
    const isOver = !chunk || (chunk.type === "interrupt" && !this.response.hasBegun && (await this.handBack()));
    if (isOver) this.response.drop();
    else await this.response.close(chunk);
  }

  /** Return the newest messages: those that came with the run, and what didn't fit into its frame. */
  async #history() {
    let { messages, older } = this.frame;
    while (older && messages.length && messages.length < HISTORY) {
      const page = await this.ask({ type: "history", before: messages[0].id, limit: HISTORY - messages.length });
      messages = [...page.messages, ...messages];
      older = page.older && page.messages.length > 0;
    }
    return messages;
  }
}
