// A run's response: what is written goes to the site in numbered batches, one in flight, and joined meanwhile.

import { HoldfastError } from "./errors.js";
import { Waiting } from "./batches.js";

const ROLLUP_MS = 20; // for the chunks that come together with the first one
const UNSTORED_BYTES = 64 * 1024; // writes wait beyond this

// Refusals of a malformed chunk: nothing of its batch is stored, and the batch's number is free. Others store what comes
// before the chunk, and count.
const REFUSE_WHOLE = ["bad_chunk", "unknown_chunk"];

// After these nothing more of the run can be stored.
const LOST = ["fenced", "not_found", "storage_unavailable", "forbidden_scope", "bad_token", "token_expired"];

/** @typedef {import("./batches.js").Chunk} Chunk */
/** @typedef {{input_tokens: number, output_tokens: number}} Usage */

export class Response {
  #waiting = new Waiting();
  #publish;
  #sequence = 0;
  #isSending = false;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  /** @type {Error | null} */
  #problem = null;
  /** @type {Set<() => void>} */
  #watchers = new Set();
  /** @type {Usage} */
  #usage = { input_tokens: 0, output_tokens: 0 };
  isLost = false;
  isClosed = false;

  /**
   * @param {string} id of its message
   * @param {(batch: {sequence: number, chunks: Chunk[], usage?: Usage}) => Promise<unknown>} publish sends a batch
   *   until it is answered, and rejects with HoldfastError
   */
  constructor(id, publish) {
    this.id = id;
    this.#publish = publish;
  }

  get hasBegun() {
    return this.#sequence > 0;
  }

  /** Add one chunk; wait while too much is unstored. @param {Chunk} chunk */
  async write(chunk) {
    this.#check();
    this.#waiting.add(chunk);
    this.#timer ??= setTimeout(() => this.#send(), ROLLUP_MS);
    await this.#until(() => this.#waiting.bytes <= UNSTORED_BYTES);
  }

  /** Wait until everything written is stored. */
  async flush() {
    this.#check();
    void this.#send();
    await this.#until(() => this.#waiting.isEmpty && !this.#isSending);
  }

  /** End the response with a chunk, also after a refusal; what is unstored goes first. @param {Chunk} chunk */
  async close(chunk) {
    if (this.isClosed) return;
    if (!this.#problem) await this.flush().catch(() => undefined);
    this.isClosed = true;
    if (this.isLost) throw this.#problem;
    this.#problem = null;
    if (!this.hasBegun) this.#waiting.add({ type: "start", messageId: this.id });
    this.#waiting.add(chunk);
    void this.#send();
    await this.#until(() => this.#waiting.isEmpty && !this.#isSending);
  }

  /** Have the next batch count this. @param {Usage} usage */
  count(usage) {
    this.#usage.input_tokens += usage.input_tokens;
    this.#usage.output_tokens += usage.output_tokens;
  }

  #check() {
    if (this.#problem) throw this.#problem;
    if (this.isClosed) throw new HoldfastError("fenced", "The answer has ended; the agent can't write to it any more.");
  }

  /** @param {() => boolean} condition */
  async #until(condition) {
    while (!this.#problem && !condition()) await new Promise((resolve) => this.#watchers.add(() => resolve(null)));
    if (this.#problem) throw this.#problem;
  }

  async #send() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isSending) return;
    this.#isSending = true;
    try {
      while (!this.#waiting.isEmpty) await this.#store(this.#waiting.take());
    } catch (problem) {
      this.#waiting.clear();
      this.#problem = /** @type {HoldfastError} */ (problem);
      this.isLost = LOST.includes(this.#problem.code);
    } finally {
      this.#isSending = false;
      this.#notify();
    }
  }

  /** Store a batch, or as much of it as the site takes. @param {Chunk[]} chunks @returns {Promise<void>} */
  async #store(chunks) {
    const usage = this.#usage;
    this.#usage = { input_tokens: 0, output_tokens: 0 };
    this.#sequence += 1;
    const counted = usage.input_tokens || usage.output_tokens ? { usage } : {};
    try {
      await this.#publish({ sequence: this.#sequence, chunks, ...counted });
      this.#notify();
    } catch (problem) {
      if (!REFUSE_WHOLE.includes(/** @type {HoldfastError} */ (problem).code)) throw problem;
      this.#sequence -= 1;
      this.count(usage);
      if (chunks.length === 1) throw problem;
      const half = chunks.length >> 1;
      await this.#store(chunks.slice(0, half));
      await this.#store(chunks.slice(half));
    }
  }

  #notify() {
    const watchers = [...this.#watchers];
    this.#watchers.clear();
    for (const watcher of watchers) watcher();
  }
}
