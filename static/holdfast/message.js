// Message and part types, and what the fold shares: errors, open parts, revisions.

/** @typedef {Record<string, Record<string, any>>} ProviderMetadata by provider */
/**
 * @typedef {{type: "text", text: string, state?: "streaming"|"done", citations?: any[],
 *   providerMetadata?: ProviderMetadata}} TextPart
 */
/**
 * @typedef {{type: "reasoning", id?: string, text: string, state?: "streaming"|"done",
 *   providerMetadata?: ProviderMetadata}} ReasoningPart
 */
/**
 * @typedef {{type: "file", mediaType: string, url: string, filename?: string, providerMetadata?: ProviderMetadata}}
 *   FilePart
 */
/**
 * @typedef {{type: "reasoning-file", mediaType: string, url: string, providerMetadata?: ProviderMetadata}}
 *   ReasoningFilePart
 */
/**
 * @typedef {{type: "source-url", sourceId: string, url: string, title?: string, providerMetadata?: ProviderMetadata}}
 *   SourceUrlPart
 */
/**
 * @typedef {{type: "source-document", sourceId: string, mediaType: string, title: string, filename?: string,
 *   providerMetadata?: ProviderMetadata}} SourceDocumentPart
 */
/** @typedef {{type: `data-${string}`, id?: string, data: unknown}} DataPart */
/** @typedef {{type: "custom", kind: `${string}.${string}`, providerMetadata?: ProviderMetadata}} CustomPart */
/**
 * A steer, at the point where the agent read it.
 * @typedef {{type: "steering-message", id: string, parts: (TextPart|FilePart)[]}} SteeringPart
 */
/** @typedef {{type: "step-start"}} StepStartPart */

/**
 * `input_text`: the exact JSON text of the arguments; a browser rounds the large integers of `input`.
 * @typedef {{input_hash: string, input_text?: string, expires_at: number|null, editable: boolean}} ApprovalDescriptor
 */
/**
 * Approval of a tool call; `approved` once decided.
 * @template {{approved?: boolean, reason?: string}} Decision
 * @typedef {{id: string, descriptor?: ApprovalDescriptor, requestReason?: string, isAutomatic?: boolean,
 *   signature?: string, inputSchemaInput?: unknown} & Decision} ToolApproval
 */
/**
 * A tool call, by its `state`.
 * @typedef {{toolCallId: string, title?: string, toolMetadata?: Record<string, any>, providerExecuted?: boolean,
 *     callProviderMetadata?: ProviderMetadata} & (
 *   {state: "input-streaming", input?: any, rawInput?: string, inputEncoding?: "json"|"text", approval?: never}
 *   | {state: "input-available", input: unknown, approval?: never}
 *   | {state: "approval-requested", input: unknown, approval: ToolApproval<{approved?: never, reason?: never}>}
 *   | {state: "approval-responded", input: unknown, approval: ToolApproval<{approved: boolean, reason?: string}>}
 *   | {state: "output-available", input: unknown, output: unknown, preliminary?: boolean,
 *       resultProviderMetadata?: ProviderMetadata, approval?: ToolApproval<{approved: true, reason?: string}>}
 *   | {state: "output-error", input: unknown, rawInput?: unknown, errorText: string,
 *       resultProviderMetadata?: ProviderMetadata, approval?: ToolApproval<{approved: true, reason?: string}>}
 *   | {state: "output-denied", input: unknown, approval: ToolApproval<{approved: false, reason?: string}>}
 * )} ToolCall
 */
/** @typedef {({type: `tool-${string}`} | {type: "dynamic-tool", toolName: string}) & ToolCall} ToolPart */

/**
 * A message part, by `type`; assignable to the AI SDK's `UIMessagePart`.
 * @typedef {TextPart|ReasoningPart|ToolPart|FilePart|ReasoningFilePart|SourceUrlPart|SourceDocumentPart|DataPart
 *   |CustomPart|SteeringPart|StepStartPart} Part
 */

/**
 * A message (PROTOCOL.md §3), assignable to the AI SDK's `UIMessage`. Times are ms since 1970, UTC. `revision`: greater
 * after each change, on this page.
 * @template [PartType=Part]
 * @typedef {object} Message
 * @property {string} id
 * @property {"user"|"assistant"|"system"} role
 * @property {"streaming"|"complete"|"cancelled"|"failed"|"interrupted"} status
 * @property {string|null} reason
 * @property {object|null} metadata
 * @property {number} first_serial
 * @property {number} last_serial
 * @property {number} created_at
 * @property {string|null} parent id of the message that it follows
 * @property {string|null} continues id of the answer that it goes on with
 * @property {string|null} replaced_by id of the message that took its place; null while it is on show
 * @property {PartType[]} parts
 * @property {{text: Record<string, number>, reasoning: Record<string, number>,
 *   tools: Record<string, {part: number, text: string}>}} open
 * @property {number} revision
 */

/** A part while the fold writes its fields. @typedef {{type: string, [field: string]: any}} FoldedPart */
/** @typedef {Message<FoldedPart>} FoldedMessage */
/** A chunk of PROTOCOL.md §3. @typedef {{type: string, [field: string]: any}} Chunk */
/** Applies a chunk to its message. @typedef {(message: FoldedMessage, chunk: Chunk) => void} ChunkHandler */

let revision = 0;

/**
 * The next revision. One counter for all messages: the revision never falls when an own message turns from unsent to
 * stored, or when a message leaves and returns.
 */
export function nextRevision() {
  return (revision += 1);
}

/** Error: a chunk or patch that does not fit the message. */
export class FoldError extends Error {
  /** @param {string} code as in the server's errors @param {string} detail */
  constructor(code, detail) {
    super(`${code}: ${detail}`);
    this.code = code;
  }
}

/**
 * A copy of a message's open parts, empty by default. Without prototypes, any id is an ordinary key.
 * @param {Partial<FoldedMessage["open"]>} [open]
 * @returns {FoldedMessage["open"]}
 */
export function openOf({ text, reasoning, tools } = {}) {
  return { text: byId(text), reasoning: byId(reasoning), tools: byId(tools) };
}

/** @template Opened @param {Record<string, Opened>} [opened] @returns {Record<string, Opened>} */
function byId(opened) {
  return Object.assign(Object.create(null), opened);
}

/** @param {FoldedMessage} message @param {FoldedPart} part @returns {number} the new part's index */
export function addPart(message, part) {
  return message.parts.push(part) - 1;
}

/** @param {FoldedMessage} message @returns {number} the index of the current step's first part */
export function stepStart(message) {
  return message.parts.findLastIndex((part) => part.type === "step-start") + 1;
}

/**
 * Copy the named fields that the chunk has.
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
