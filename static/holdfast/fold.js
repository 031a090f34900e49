// The fold: applies chunks to messages. Equal to the server's fold, so that both ends agree.

import { closeInput, toolHandlers } from "./fold-tools.js";
import { FoldError, addPart, copyFields, nextRevision, openOf, stepStart, unknownPart } from "./message.js";

export { FoldError };

/** @typedef {import("./message.js").Chunk} Chunk */
/** @typedef {import("./message.js").ChunkHandler} ChunkHandler */
/** @typedef {import("./message.js").FoldedMessage} Message */
/** @typedef {import("./message.js").FoldedPart} Part */
/**
 * An event; the others are of the message that it begins: creation time, place, ids of those that it takes the place of.
 * @typedef {{serial: number, message: string, chunk: Chunk, at?: number, parent?: string|null, continues?: string,
 *   replaces?: string[]}} Event
 */
/**
 * A message whose parts start at `from`, the first one's text at `at`.
 * @typedef {Omit<Message, "revision"> & PatchStart} Patch
 */
/** @typedef {{from: number, at: number}} PatchStart */

const PROVIDER = ["providerMetadata"];

/**
 * Apply an event to the messages of its session, a map by id.
 * @param {Map<string, Message>} messages
 * @param {Event} event
 * @param {boolean} [keepReplaced] whether messages that it replaces are marked, not dropped
 * @throws {FoldError} without having changed anything
 */
export function fold(messages, event, keepReplaced = false) {
  const { serial, message: by, chunk, replaces = [] } = event;
  const message = messages.get(by);
  if (message) apply(message, serial, chunk);
  else messages.set(by, begin(event));
  for (const id of replaces) {
    const replaced = messages.get(id);
    if (!keepReplaced) messages.delete(id);
    else if (replaced) Object.assign(replaced, { replaced_by: by, last_serial: serial, revision: nextRevision() });
  }
}

/**
 * Create the message of a `start` or `message` chunk.
 * @param {Event} event
 * @returns {Message}
 */
export function begin({ serial, message: id, chunk, at, parent, continues }) {
  if (!begins(chunk)) throw new FoldError("no_such_message", `${id} at ${chunk.type}`);
  const whole = chunk.type === "message";
  return {
    id,
    role: whole ? chunk.role : "assistant",
    status: whole ? "complete" : "streaming",
    reason: null,
    metadata: (whole ? chunk.metadata : chunk.messageMetadata) ?? null,
    first_serial: serial,
    last_serial: serial,
    created_at: /** @type {number} */ (at),
    parent: parent ?? null,
    continues: continues ?? null,
    replaced_by: null,
    parts: whole ? [...chunk.parts] : [],
    open: openOf(),
    revision: nextRevision(),
  };
}

/**
 * Apply a chunk to a message, in place: it gets its next `revision`.
 * @param {Message} message
 * @param {number} serial
 * @param {Chunk} chunk owned by the message from now on
 * @throws {FoldError} without having changed anything
 */
export function apply(message, serial, chunk) {
  if (begins(chunk)) throw new FoldError("message_exists", message.id);
  if (ended(message)) throw new FoldError("message_ended", message.id);
  const handler = handlers.get(chunk.type) ?? (chunk.type.startsWith("data-") ? data : null);
  if (!handler) throw new FoldError("unknown_chunk", chunk.type);
  handler(message, chunk);
  message.last_serial = serial;
  message.revision = nextRevision();
}

/** Whether the chunk creates its message. @param {Chunk} chunk */
export function begins({ type }) {
  return type === "start" || type === "message";
}

/** @param {Message} message */
export function ended(message) {
  return message.status !== "streaming";
}

/**
 * The text length of each part in UTF-16 units, 0 for parts without text: the `held` of an attach.
 * @param {Message} message
 * @returns {number[]}
 */
export function held(message) {
  return message.parts.map(textLength);
}

/**
 * Apply a patch, an element of an `attached` frame.
 * @param {Message|undefined} have the message as held here
 * @param {Patch} patch
 * @returns {Message} a new object
 * @throws {FoldError} `reset` if the patch builds on parts that `have` lacks
 */
export function applyPatch(have, { from, at, ...patch }) {
  const kept = have?.parts ?? [];
  const parts = [...patch.parts];
  if (from > kept.length || at > textLength(kept[from])) throw new FoldError("reset", `${patch.id} from ${from}, ${at}`);
  if (at > 0) parts[0] = { ...parts[0], text: kept[from].text.slice(0, at) + parts[0].text };
  const open = openOf(patch.open);
  return { ...patch, parts: [...kept.slice(0, from), ...parts], open, revision: nextRevision() };
}

/** @param {Part|undefined} part */
function textLength(part) {
  return part?.type === "text" || part?.type === "reasoning" ? part.text.length : 0;
}

// --- Begin, metadata, end ---

/** @type {ChunkHandler} */
function messageMetadata(message, { messageMetadata: added }) {
  if (added == null) return;
  message.metadata = message.metadata === null ? added : merge(message.metadata, added);
}

/** @param {Record<string, any>} base @param {Record<string, any>} added */
function merge(base, added) {
  const merged = { ...base };
  for (const [key, value] of Object.entries(added)) {
    if (key === "__proto__" || key === "constructor" || key === "prototype") continue;
    const old = Object.hasOwn(base, key) ? base[key] : undefined;
    merged[key] = isObject(old) && isObject(value) ? merge(old, value) : value;
  }
  return merged;
}

/** @param {any} value */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Return a handler for chunks that end their message.
 * @param {Message["status"]} status of the ended message
 * @param {string} reason name of the chunk's field with the reason
 * @returns {ChunkHandler}
 */
function endOf(status, reason) {
  return (message, chunk) => {
    if (chunk.type === "finish") messageMetadata(message, chunk);
    closeEverything(message);
    message.status = status;
    message.reason = chunk[reason] ?? null;
  };
}

/** @param {Message} message */
function closeEverything(message) {
  for (const call of Object.keys(message.open.tools)) closeInput(message, call);
  message.open = openOf();
}

// --- Parts ---

/**
 * Return a handler for chunks that are a whole part, of the same type and with these fields.
 * @param {string[]} names
 * @returns {ChunkHandler}
 */
function partOf(...names) {
  return (message, chunk) => void addPart(message, copyFields({ type: chunk.type }, chunk, names));
}

/** @type {ChunkHandler} */
function data(message, chunk) {
  if (chunk.transient) return;
  /** @param {Part} part */
  const same = (part) => part.type === chunk.type && part.id === chunk.id;
  const part = "id" in chunk ? message.parts.find(same) : undefined;
  if (part === undefined) addPart(message, { ...chunk });
  else if ("data" in chunk) part.data = chunk.data;
  else delete part.data;
}

// --- Steps ---

/** @type {ChunkHandler} */
function startStep(message) {
  addPart(message, { type: "step-start" });
}

// Parts have end chunks of their own, and may outlive the step.
function finishStep() {}

/** @type {ChunkHandler} */
function resetStep(message) {
  closeEverything(message);
  message.parts.length = stepStart(message);
}

// --- Text and reasoning ---

/** @type {ChunkHandler} */
function startText(message, chunk) {
  const part = { type: "text", text: "", state: "streaming" };
  message.open.text[chunk.id] = addPart(message, copyFields(part, chunk, PROVIDER));
}

/** @type {ChunkHandler} */
function startReasoning(message, chunk) {
  const part = { type: "reasoning", id: chunk.id, text: "", state: "streaming" };
  message.open.reasoning[chunk.id] = addPart(message, copyFields(part, chunk, PROVIDER));
}

/** @type {ChunkHandler} */
function append(message, chunk) {
  const part = openPart(message, chunk);
  part.text += chunk.delta;
}

/** @type {ChunkHandler} */
function close(message, chunk) {
  const part = openPart(message, chunk);
  part.state = "done";
  if (chunk.type === "text-end") copyFields(part, chunk, ["citations"]);
  delete message.open[kindOf(chunk)][chunk.id];
}

/** @param {Message} message @param {Chunk} chunk @returns {Part} with the chunk's provider metadata */
function openPart(message, chunk) {
  const index = message.open[kindOf(chunk)][chunk.id];
  if (index === undefined) throw unknownPart(chunk);
  return copyFields(message.parts[index], chunk, PROVIDER);
}

/** @param {Chunk} chunk */
function kindOf({ type }) {
  return type.startsWith("text-") ? "text" : "reasoning";
}

/** @type {Map<string, ChunkHandler>} */
const handlers = new Map(
  Object.entries({
    "message-metadata": messageMetadata,
    finish: endOf("complete", "finishReason"),
    abort: endOf("cancelled", "reason"),
    error: endOf("failed", "errorText"),
    interrupt: endOf("interrupted", "reason"),
    "start-step": startStep,
    "finish-step": finishStep,
    "reset-step": resetStep,
    "text-start": startText,
    "text-delta": append,
    "text-end": close,
    "reasoning-start": startReasoning,
    "reasoning-delta": append,
    "reasoning-end": close,
    ...toolHandlers,
    file: partOf("mediaType", "url", "providerMetadata"),
    "reasoning-file": partOf("mediaType", "url", "providerMetadata"),
    "source-url": partOf("sourceId", "url", "title", "providerMetadata"),
    "source-document": partOf("sourceId", "mediaType", "title", "filename", "providerMetadata"),
    custom: partOf("kind", "providerMetadata"),
    "steering-message": partOf("id", "parts"),
  }),
);
