// Unfold, the inverse of the fold: the chunks that make a message, with its open parts left open. Pure.
//
// The fold of `unfold(message)` is the message, up to serials, and takes the same chunks as it from there on. Ids of closed
// text parts aren't stored, so those have new ones; all other ids are the message's.

import { ended } from "./fold.js";

/** @typedef {import("./message.js").Chunk} Chunk */
/** @typedef {import("./message.js").FoldedMessage} Message */
/** @typedef {import("./message.js").FoldedPart} Part */

/** The chunk that ends a message by its status, and that chunk's field for the reason. @type {Record<string, string[]>} */
const ENDS = {
  complete: ["finish", "finishReason"],
  cancelled: ["abort", "reason"],
  failed: ["error", "errorText"],
  interrupted: ["interrupt", "reason"],
};

/**
 * Return chunks that fold to the message. The first creates it; the last ends it if it has ended.
 * @param {Message} message @returns {Chunk[]}
 */
export function unfold(message) {
  const { id, role, parts, metadata } = message;
  if (cameWhole(message)) return [{ type: "message", role, parts, ...(metadata && { metadata }) }];
  const start = { type: "start", messageId: id, ...(metadata && { messageMetadata: metadata }) };
  return [start, ...partChunks(message), ...endOf(message)];
}

/** Whether a `message` chunk made it; a response has an end of its own. @param {Message} message */
function cameWhole({ role, status, first_serial: first, last_serial: last }) {
  return role !== "assistant" || (status === "complete" && first === last);
}

/** Return the chunk of the message's end, if it has ended. @param {Message} message @returns {Chunk[]} */
export function endOf(message) {
  if (!ended(message)) return [];
  const [type, field] = ENDS[message.status];
  return [{ type, ...(message.reason !== null && { [field]: message.reason }) }];
}

/** Return the chunks of the parts from an index on. @param {Message} message @param {number} [from] */
export function partChunks(message, from = 0) {
  return new Unfolding(message, from).chunks();
}

/**
 * The chunks of one message's parts. Where parts could lose or gain something by each other's chunks, the order of chunks
 * is the one in which the parts can have become what they are: see `#waits` and `resetAt`.
 */
class Unfolding {
  #parts;
  #from;
  #raw;
  #texts;
  #resetAt;
  #lastDecision;
  /** @type {Chunk[]} */
  #chunks = [];
  /** Calls of the current step by id: the first part. @type {Map<string, number>} */
  #calls = new Map();
  /** Those of them whose input comes after the second part's. @type {Map<string, number>} */
  #waiting = new Map();
  /** Second parts, whose decision and outcome come after the step. @type {number[]} */
  #afterStep = [];
  /** Calls that are asked about after it, by the approval's id. @type {Map<string, number[]>} */
  #held = new Map();

  /** @param {Message} message @param {number} from */
  constructor(message, from) {
    this.#parts = message.parts;
    this.#from = from;
    this.#raw = rawInputs(message);
    this.#texts = textIds(message);
    this.#resetAt = resetAt(message, from);
    this.#lastDecision = lastDecisions(message.parts);
  }

  chunks() {
    this.#parts.forEach((part, index) => {
      if (index >= this.#from) this.#write(part, index);
      else this.#pass(part, index);
    });
    return this.#chunks;
  }

  /** The reader has this part already. @param {Part} part @param {number} index */
  #pass({ type, toolCallId: call }, index) {
    if (type === "step-start") this.#calls.clear();
    else if (call !== undefined && !this.#calls.has(call)) this.#calls.set(call, index);
  }

  /** @param {Part} part @param {number} index */
  #write(part, index) {
    const { type } = part;
    if (type === "step-start") this.#startStep(index);
    else if (type === "text") this.#add(...textChunks(part, /** @type {string} */ (this.#texts.get(index))));
    else if (type === "reasoning") this.#add(...textChunks(part, part.id));
    else if (part.toolCallId !== undefined) this.#call(part, index);
    else this.#add({ ...part });
  }

  /** @param {Chunk[]} chunks */
  #add(...chunks) {
    this.#chunks.push(...chunks);
  }

  /** @param {number} index */
  #startStep(index) {
    this.#add({ type: "start-step" });
    if (index === this.#resetAt) this.#add({ type: "reset-step" });
    for (const second of this.#afterStep.splice(0)) this.#decide(second);
    this.#calls.clear();
  }

  // A step may have two parts with one call id, a static and a dynamic one; chunks by id go to the first.
  /** @param {Part} part @param {number} index */
  #call(part, index) {
    const id = part.toolCallId;
    if (!this.#calls.has(id)) {
      this.#calls.set(id, index);
      if (!this.#waits(index)) return this.#wholeCall(index);
      this.#waiting.set(id, index);
      return this.#add({ type: "tool-input-start", ...named(part) });
    }
    this.#input(index);
    this.#afterStep.push(index);
    const first = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (first !== undefined) this.#wholeCall(first);
  }

  /**
   * Whether a first part's input came after the second part's: each input closes an open one by its id.
   * @param {number} index
   */
  #waits(index) {
    const second = this.#second(index);
    if (second < 0) return false;
    return this.#raw.has(index) || (isStreaming(this.#parts[second]) && !this.#raw.has(second));
  }

  /** @param {number} first @returns {number} index of the second part with its call's id, or -1 */
  #second(first) {
    const { toolCallId: id } = this.#parts[first];
    const found = this.#parts.findIndex(({ type, toolCallId }, index) => {
      return index > first && (type === "step-start" || toolCallId === id);
    });
    return this.#parts[found]?.type === "step-start" ? -1 : found;
  }

  /** @param {number} index */
  #wholeCall(index) {
    this.#input(index);
    this.#decide(index);
  }

  /** @param {number} index */
  #input(index) {
    this.#add(...inputChunks(this.#parts[index], this.#raw.get(index)));
  }

  // A decision goes to the first part that asks by the approval's id.
  /** @param {number} index */
  #decide(index) {
    const part = this.#parts[index];
    const id = part.approval?.id;
    const held = this.#held.get(id) ?? [];
    if (index < (this.#lastDecision.get(id) ?? 0)) return void this.#held.set(id, [...held, index]);
    this.#held.delete(id);
    for (const each of [index, ...held.reverse()]) this.#add(...decisionChunks(this.#parts[each]));
  }
}

/** Raw text of each input that is still streaming, by the index of its part. @param {Message} message */
export function rawInputs({ open }) {
  return new Map(Object.values(open.tools).map(({ part, text }) => [part, text]));
}

/** The last decided part of each approval. @param {Part[]} parts @returns {Map<string|undefined, number>} */
function lastDecisions(parts) {
  return new Map(parts.flatMap(({ approval }, index) => (approval && "approved" in approval ? [[approval.id, index]] : [])));
}

/**
 * Return the step before which nothing is open any more though parts there were cut off, or -1. A reset of a later step has
 * closed them. They are closed by one of an empty step again, unless the end does it.
 * @param {Message} message @param {number} from
 */
function resetAt(message, from) {
  const { parts, open } = message;
  if (ended(message)) return -1;
  const opened = [...Object.values(open.text), ...Object.values(open.reasoning), ...rawInputs(message).keys()];
  const last = parts.slice(0, Math.min(...opened, parts.length)).findLastIndex(({ type }) => type === "step-start");
  return parts.slice(from, Math.max(last, 0)).some(isStreaming) ? last : -1;
}

/** @param {Part} part */
function isStreaming({ state }) {
  return state === "streaming" || state === "input-streaming";
}

/**
 * Return an id for each text part, by its index. One that is cut off has that of the next, which took its place.
 * @param {Message} message @returns {Map<number, string>}
 */
function textIds({ parts, open }) {
  const ids = new Map(Object.entries(open.text).map(([id, index]) => [index, id]));
  let next = newId(parts.length, open);
  for (let index = parts.length - 1; index >= 0; index -= 1) {
    const part = parts[index];
    if (part.type !== "text") continue;
    if (!ids.has(index)) ids.set(index, isStreaming(part) ? next : newId(index, open));
    next = /** @type {string} */ (ids.get(index));
  }
  return ids;
}

/** @param {number} index @param {Message["open"]} open */
function newId(index, open) {
  let id = `text-${index}`;
  while (id in open.text) id += "_";
  return id;
}

// --- Chunks of one part ---

/** @param {Part} part text or reasoning @param {string} id @returns {Chunk[]} */
function textChunks(part, id) {
  const { type, text } = part;
  return [
    { type: `${type}-start`, id, ...pick(part, "providerMetadata") },
    ...(text ? [{ type: `${type}-delta`, id, delta: text }] : []),
    ...(isStreaming(part) ? [] : [{ type: `${type}-end`, id, ...pick(part, "citations") }]),
  ];
}

/** Return the chunks of a call's input. @param {Part} part @param {string} [raw] text of one that is still streaming */
export function inputChunks(part, raw) {
  if (part.state !== "input-streaming") return [available(part)];
  const { toolCallId } = part;
  const text = raw || part.rawInput;
  const start = { type: "tool-input-start", ...named(part), ...lasting(part), ...pick(part, "inputEncoding") };
  return text ? [start, { type: "tool-input-delta", toolCallId, inputTextDelta: text }] : [start];
}

/** Return what came of a call's complete input: its approval and its outcome. @param {Part} part @returns {Chunk[]} */
export function decisionChunks(part) {
  const { state, approval } = part;
  const asked = approval ? requestChunks(part) : [];
  // Its approver has edited it.
  const edited = approval && state === "input-available" ? [available(part)] : [];
  return [...asked, ...edited, ...outcomeChunks(part)];
}

/** @param {Part} part @returns {Chunk} */
export function available(part) {
  return { type: "tool-input-available", ...named(part), ...lasting(part), ...pick(part, "input") };
}

/** @param {Part} part @returns {Chunk[]} its approval's request, and the decision */
function requestChunks({ toolCallId, approval }) {
  const { id: approvalId, requestReason: reason, descriptor: approvalDescriptor } = approval;
  const request = {
    type: "tool-approval-request",
    toolCallId,
    approvalId,
    ...(approvalDescriptor && { approvalDescriptor }),
    ...("requestReason" in approval && { reason }),
    ...pick(approval, "inputSchemaInput", "isAutomatic", "signature"),
  };
  return "approved" in approval ? [request, responseChunk(approval)] : [request];
}

/** @param {Record<string, any>} approval a decided one @returns {Chunk} */
export function responseChunk(approval) {
  return { type: "tool-approval-response", approvalId: approval.id, ...pick(approval, "approved", "reason") };
}

/** Return the chunk of a call's outcome, if it has one. @param {Part} part @returns {Chunk[]} */
export function outcomeChunks(part) {
  const { state, toolCallId, resultProviderMetadata: providerMetadata } = part;
  if (!state.startsWith("output-")) return [];
  const provider = "resultProviderMetadata" in part && { providerMetadata };
  if (state === "output-denied") return [{ type: "tool-output-denied", toolCallId }];
  const fields = state === "output-error" ? ["errorText"] : ["output", "preliminary"];
  const taken = pick(part, ...fields, "toolMetadata", "providerExecuted");
  return [{ type: `tool-${state}`, toolCallId, ...taken, ...provider }];
}

/** @param {Part} part @returns {Record<string, any>} */
function named({ type, toolCallId, toolName }) {
  if (type === "dynamic-tool") return { toolCallId, toolName, dynamic: true };
  return { toolCallId, toolName: type.slice("tool-".length) };
}

/** @param {Part} part @returns {Record<string, any>} */
function lasting(part) {
  const provider = "callProviderMetadata" in part && { providerMetadata: part.callProviderMetadata };
  return { ...pick(part, "title", "toolMetadata", "providerExecuted"), ...provider };
}

/** @param {Record<string, any>} from @param {string[]} names @returns {Record<string, any>} those fields that it has */
export function pick(from, ...names) {
  return Object.fromEntries(names.filter((name) => name in from).map((name) => [name, from[name]]));
}
