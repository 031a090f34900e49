// Chunks on their way into batches: deltas joined, long ones divided, each batch small enough for a frame.

import { HoldfastError } from "./errors.js";

export const BATCH_BYTES = 48 * 1024; // of JSON; a frame of the site's has room for 64 KiB
export const BATCH_CHUNKS = 500;
export const CHUNK_BYTES = 60 * 1024; // of JSON, in a chunk that can't be divided
const PIECE = 2_000; // UTF-16 units of a delta in one chunk: at most 12 kB of JSON, whatever they are

/** @typedef {Record<string, any> & {type: string}} Chunk */

/** The names of an appending chunk's id and text. @type {Record<string, [string, string]>} */
const APPENDS = {
  "text-delta": ["id", "delta"],
  "reasoning-delta": ["id", "delta"],
  "tool-input-delta": ["toolCallId", "inputTextDelta"],
};

/** The chunks that wait to be sent. */
export class Waiting {
  /** @type {{chunk: Chunk, bytes: number}[]} */
  #entries = [];
  bytes = 0;

  get isEmpty() {
    return this.#entries.length === 0;
  }

  /** Add one chunk. @param {Chunk} chunk @throws {HoldfastError} bad_chunk */
  add(chunk) {
    for (const piece of pieces(chunk)) this.#put(piece);
  }

  /** Remove and return the next batch. @returns {Chunk[]} */
  take() {
    let size = 0;
    let count = 0;
    for (const { bytes } of this.#entries) {
      if (count && (size + bytes > BATCH_BYTES || count === BATCH_CHUNKS)) break;
      size += bytes;
      count += 1;
    }
    this.bytes -= size;
    return this.#entries.splice(0, count).map(({ chunk }) => chunk);
  }

  clear() {
    this.#entries = [];
    this.bytes = 0;
  }

  /** @param {Chunk} chunk */
  #put(chunk) {
    const last = this.#entries.at(-1);
    const joined = last && join(last.chunk, chunk);
    const entry = joined || chunk;
    const bytes = Buffer.byteLength(JSON.stringify(entry)) + 1;
    if (last && joined) {
      this.bytes += bytes - last.bytes;
      Object.assign(last, { chunk: joined, bytes });
    } else {
      this.#entries.push({ chunk, bytes });
      this.bytes += bytes;
    }
  }
}

/** Return two appends to one part as one, or null. @param {Chunk} first @param {Chunk} second @returns {Chunk | null} */
function join(first, second) {
  const [id, text] = APPENDS[second.type] ?? [];
  if (!id || !text || first.type !== second.type || first[id] !== second[id]) return null;
  if (Object.keys(first).length !== 3 || Object.keys(second).length !== 3) return null; // such as providerMetadata
  if (first[text].length + second[text].length > PIECE) return null;
  return { ...first, [text]: first[text] + second[text] };
}

/** @param {Chunk} chunk @returns {Chunk[]} */
function pieces(chunk) {
  const text = APPENDS[chunk?.type]?.[1];
  if (text && typeof chunk[text] === "string") {
    return split(chunk[text]).map((piece) => ({ ...chunk, [text]: piece }));
  }
  const json = JSON.stringify(chunk) ?? "";
  if (Buffer.byteLength(json) <= CHUNK_BYTES) return [JSON.parse(json || "{}")]; // as it is now, whatever becomes of it
  throw new HoldfastError("bad_chunk", `The agent wrote a ${chunk.type} of more than ${CHUNK_BYTES} bytes; divide it.`);
}

/** Divide a text between code points. @param {string} text @returns {string[]} */
function split(text) {
  const found = [];
  let from = 0;
  while (from < text.length || !found.length) {
    let to = from + PIECE;
    if (to < text.length && /[\uD800-\uDBFF]/.test(text[to - 1])) to -= 1;
    found.push(text.slice(from, to));
    from = to;
  }
  return found;
}
