// A run's response: what is written goes to the site in numbered batches, one in flight, and joined meanwhile.

import { HoldfastError } from "./errors.js";
import { BATCH_BYTES, Waiting } from "./batches.js";

const ROLLUP_MS = 20; // between two batches
const UNSTORED_BYTES = 64 * 1024; // writes wait beyond this

// Refusals of a malformed chunk: nothing of its batch is stored, and the batch's number is free. Others store what comes
// before the chunk, and count.
const REFUSE_WHOLE = ["bad_chunk", "unknown_chunk"];

// After these nothing more of the run can be stored.
const LOST = [
  ...["fenced", "not_found", "expired", "message_ended", "storage_unavailable"],
  ...["forbidden_scope", "forbidden_agent", "bad_token", "token_expired"],
];

// Chunks that show nothing yet: what follows them comes in a moment.
const OPENING = ["start", "start-step", "text-start", "reasoning-start"];

/** @typedef {import("./batches.js").Chunk} Chunk */
/** @typedef {{input_tokens: number, output_tokens: number}} Usage */

export class Response {
  #waiting = new Waiting();
  #publish;
  #sequence = 0;
  #isSending = false;
  #sentAt = -Infinity;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  #due = Infinity; // when it fires
  #isUrgent = false;
  #onLost;
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
   * @param {() => void} [onLost] is called when nothing more can be stored
   */
  constructor(id, publish, onLost = () => undefined) {
    this.id = id;
    this.#onLost = onLost;
    this.#publish = publish;
  }

  get hasBegun() {
    return this.#sequence > 0;
  }

  /** Add one chunk; wait while too much is unstored. @param {Chunk} chunk */
  async write(chunk) {
    this.#check();
    this.#waiting.add(chunk);
    this.#schedule((OPENING.includes(chunk.type) ? performance.now() : this.#sentAt) + ROLLUP_MS);
    await this.#until(() => this.#waiting.bytes <= UNSTORED_BYTES);
  }

  /** Wait until everything written is stored. */
  async flush() {
    this.#check();
    await this.#sendAll();
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
    await this.#sendAll();
  }

  /** End the response without a word: what is unstored is given up. */
  drop() {
    this.isClosed = true;
    clearTimeout(this.#timer);
    this.#waiting.clear();
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

  async #sendAll() {
    this.#isUrgent = true;
    void this.#send();
    await this.#until(() => this.#waiting.isEmpty && !this.#isSending);
  }

  /** Send what waits, at the latest then. @param {number} due */
  #schedule(due) {
    if (due >= this.#due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => this.#send(), due - performance.now());
  }

  async #send() {
    clearTimeout(this.#timer);
    this.#due = Infinity;
    if (this.#isSending) return;
    this.#isSending = true;
    try {
      do await this.#sendNext();
      while (!this.#waiting.isEmpty && (this.#isUrgent || this.#waiting.bytes > BATCH_BYTES));
      this.#isUrgent &&= !this.#waiting.isEmpty;
    } catch (problem) {
      this.#waiting.clear();
      this.#problem = /** @type {Error} */ (problem);
      this.isLost = LOST.includes(/** @type {HoldfastError} */ (problem).code);
      if (this.isLost) this.#onLost();
    } finally {
      this.#isSending = false;
      this.#notify();
    }
    if (!this.#waiting.isEmpty) this.#schedule(this.#sentAt + ROLLUP_MS);
  }

  async #sendNext() {
    if (this.#waiting.isEmpty) return;
    await this.#store(this.#waiting.take());
    this.#sentAt = performance.now();
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
