// A message between two of its events: its fields, its parts, and what is still open in it.

/** A part of an AI SDK `UIMessage`. @typedef {{type: string, [field: string]: any}} Part */
/** One of PROTOCOL.md §3. @typedef {{type: string, [field: string]: any}} Chunk */
/** What a chunk does to a message. @typedef {(message: Message, chunk: Chunk) => void} ChunkHandler */

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

/**
 * A copy of what is open, by default nothing. Without a prototype, any id is an ordinary key.
 * @param {Partial<Message["open"]>} [open]
 * @returns {Message["open"]}
 */
export function openOf({ text, reasoning, tools } = {}) {
  return { text: byId(text), reasoning: byId(reasoning), tools: byId(tools) };
}

/** @template Opened @param {Record<string, Opened>} [opened] @returns {Record<string, Opened>} */
function byId(opened) {
  return Object.assign(Object.create(null), opened);
}

/** @param {Message} message @param {Part} part @returns {number} the new part's index */
export function addPart(message, part) {
  return message.parts.push(part) - 1;
}

/** @param {Message} message @returns {number} the index of the current step's first part */
export function stepStart(message) {
  return message.parts.findLastIndex((part) => part.type === "step-start") + 1;
}

/**
 * Copy the fields of these names that the chunk has.
 * @template {Record<string, any>} Target
 * @param {Target} to
 * @param {Chunk} from
 * @param {string[]} names
 */
export function copyFields(to, from, names) {
  /** @type {Record<string, any>} */
  const fields = to;
  for (const name of names) if (name in from) fields[name] = from[name];
  return to;
}

/** @param {Chunk} chunk */
export function unknownPart(chunk) {
  return new FoldError("unknown_part", `${chunk.type} for ${chunk.id ?? chunk.toolCallId ?? chunk.approvalId}`);
}
