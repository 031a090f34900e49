// The chunks of a message as a stream: a replay of what there is, and what follows.

import { advance } from "./advance.js";
import { apply, begin, begins, ended } from "./fold.js";
import { asError } from "./protocol.js";
import { unfold } from "./unfold.js";

/** @typedef {import("./message.js").Chunk} Chunk */
/** @typedef {import("./message.js").FoldedMessage} Message */

/**
 * A session as this file needs it. `followers` are told of each event once it is applied, and (null) of a state that came
 * without its events.
 * @typedef {object} Source
 * @property {() => Message|undefined} find
 * @property {() => import("./protocol.js").ProtocolError|null} gone
 * @property {Set<(event: import("./fold.js").Event|null) => void>} followers
 */

/**
 * `signal` ends the stream. `replay` false: what follows only. `until`: whether the message, as read so far, is read far
 * enough; asked whenever there is nothing to read, without a replay only after the first news.
 * @typedef {{signal?: AbortSignal, replay?: boolean, until?: (message: Message) => boolean}} ChunkOptions
 */

/** @type {import("./protocol.js").ProtocolError} */
const LOST = {
  code: "reset",
  message: "What the reader has of this message can't be continued: read it from its beginning",
  retryable: true,
};

/**
 * Yield the chunks of a message, which may still have to begin, until it ends. Their fold is the message.
 * @param {string} id of the message
 * @param {Source} source
 * @param {ChunkOptions} [options]
 * @returns {AsyncGenerator<Chunk, void, undefined>}
 */
export async function* chunksOf(id, source, { signal, replay = true, until = () => false } = {}) {
  const reader = new ChunkReader(id, source, replay);
  const wake = () => reader.wake();
  signal?.addEventListener("abort", wake);
  let asks = replay;
  try {
    while (!signal?.aborted) {
      const chunk = reader.next();
      if (chunk) yield chunk;
      else if (reader.isDone || (asks && reader.state && until(reader.state))) return;
      else await reader.news();
      asks = true;
    }
  } finally {
    signal?.removeEventListener("abort", wake);
    reader.close();
  }
}

/** Chunks for a reader that comes for them when it likes. */
class ChunkReader {
  #id;
  #source;
  #told = (/** @type {import("./fold.js").Event|null} */ event) => this.#follow(event);
  /** The message as its reader will have it. @type {Message|null} */
  state = null;
  /** @type {Chunk[]} not read yet */
  #queue = [];
  /** @type {import("./protocol.js").ProtocolError|null} */
  #error = null;
  #wake = () => {};

  /** @param {string} id @param {Source} source @param {boolean} replay */
  constructor(id, source, replay) {
    this.#id = id;
    this.#source = source;
    source.followers.add(this.#told);
    this.#catchUp();
    if (!replay) this.#queue = [];
  }

  close() {
    this.#source.followers.delete(this.#told);
  }

  get isDone() {
    return this.state !== null && ended(this.state);
  }

  /** @returns {Chunk|undefined} */
  next() {
    const chunk = this.#queue.shift();
    if (!chunk && this.#error && !this.isDone) throw asError(this.#error);
    return chunk;
  }

  wake() {
    this.#wake();
  }

  /** Resolve when there may be something new. @returns {Promise<void>} */
  news() {
    return new Promise((resolve) => (this.#wake = resolve));
  }

  /** @param {import("./fold.js").Event|null} event */
  #follow(event) {
    if (this.isDone || (event && event.message !== this.#id)) return;
    if (!event) this.#catchUp();
    else if (!this.state && begins(event.chunk)) this.#begin([event.chunk], event);
    else this.#passOn(event);
    this.#wake();
  }

  /** @param {import("./fold.js").Event} event */
  #passOn({ serial, chunk }) {
    if (!this.state || serial <= this.state.last_serial) return;
    try {
      apply(this.state, serial, chunk);
      this.#queue.push(chunk);
    } catch {
      this.#catchUp(); // its parts are those of a catch-up, with other ids
    }
  }

  #catchUp() {
    const message = this.#source.find();
    if (!message) this.#error = this.#source.gone() ?? (this.state && LOST);
    else if (this.state) this.#advance(message);
    else this.#begin(unfold(message), { serial: message.last_serial, message: this.#id, at: message.created_at });
  }

  /** @param {Chunk[]} chunks @param {Omit<import("./fold.js").Event, "chunk">} event */
  #begin([first, ...rest], event) {
    this.state = begin({ ...event, chunk: first });
    for (const chunk of rest) apply(this.state, event.serial, chunk);
    this.#queue.push(first, ...rest);
  }

  /** @param {Message} message */
  #advance(message) {
    try {
      this.#queue.push(...advance(/** @type {Message} */ (this.state), message));
    } catch {
      this.#error = LOST;
    }
  }
}
