// A message between two of its events: its fields, its parts, and what is still open in it.

/** A part of an AI SDK `UIMessage`. @typedef {{type: string, [field: string]: any}} Part */
/** One of PROTOCOL.md §3. @typedef {{type: string, [field: string]: any}} Chunk */
/** What a chunk does to a message. @typedef {(message: Message, chunk: Chunk) => void} Handler */

/**
 * PROTOCOL.md §3, and `revision`, which grows with each change of it here. Times are in milliseconds since 1970, UTC.
 * @typedef {object} Message
 * @property {string} id
 * @property {"user"|"assistant"|"system"} role
 * @property {"streaming"|"complete"|"cancelled"|"failed"|"interrupted"} status
 * @property {string|null} reason
 * @property {object|null} metadata
 * @property {number} first_serial
 * @property {number} last_serial
 * @property {number} created_at
 * @property {Part[]} parts
 * @property {{text: Record<string, number>, reasoning: Record<string, number>,
 *   tools: Record<string, {part: number, text: string}>}} open
 * @property {number} revision
 */

/** A chunk or patch that doesn't fit what is here. */
export class FoldError extends Error {
  /** @param {string} code as the server's errors have it @param {string} detail */
  constructor(code, detail) {
    super(`${code}: ${detail}`);
    this.name = "FoldError";
    this.code = code;
  }
}

/** Without a prototype, any id is an ordinary key. @returns {Message["open"]} */
export function nothingOpen() {
  return { text: Object.create(null), reasoning: Object.create(null), tools: Object.create(null) };
}

/** @param {Message} message @param {Part} part @returns {number} the new part's index */
export function push(message, part) {
  return message.parts.push(part) - 1;
}

/** @param {Message} message @returns {number} the index of the current step's first part */
export function stepStart(message) {
  return message.parts.findLastIndex((part) => part.type === "step-start") + 1;
}

/** @param {Chunk} chunk */
export function notOpen(chunk) {
  return new FoldError("unknown_part", `${chunk.type} for ${chunk.id ?? chunk.toolCallId}`);
}
