// The fold of tool calls: handlers for input, approval and output chunks.

import { FoldError, addPart, copyFields, stepStart, unknownPart } from "./message.js";

/** @typedef {import("./message.js").Chunk} Chunk */
/** @typedef {import("./message.js").ChunkHandler} ChunkHandler */
/** @typedef {import("./message.js").FoldedMessage} Message */
/** @typedef {import("./message.js").FoldedPart} Part */

// Fields of one state of a part: removed at the next state, unless its chunk takes or keeps them.
const STATE_FIELDS = ["input", "inputEncoding", "rawInput", "output", "errorText", "preliminary"];
const LASTING = ["toolMetadata", "providerExecuted"];
/** @type {Record<string, {state: string, takes: string[], keeps?: string}>} */
const CHANGES = {
  "tool-input-start": { state: "input-streaming", takes: ["title", "inputEncoding"] },
  "tool-input-available": { state: "input-available", takes: ["title", "input"] },
  "tool-input-error": { state: "output-error", takes: ["input", "errorText"] },
  "tool-output-available": { state: "output-available", takes: ["output", "preliminary"], keeps: "input" },
  "tool-output-error": { state: "output-error", takes: ["errorText"], keeps: "input" },
};

const INPUT = ["tool-input-start", "tool-input-available", "tool-input-error"];
const OUTCOME = ["tool-output-available", "tool-output-error"];

// A call's stage: the chunks that it takes. A complete input may be replaced until people decide about it; a decision and
// an outcome are final.
/** @type {Record<string, string[]>} */
const STAGES = {
  "input-streaming": INPUT,
  "input-available": [...INPUT, "tool-approval-request", ...OUTCOME, "tool-output-denied"],
  "approval-requested": ["tool-input-available", "tool-approval-response", "tool-output-error", "tool-output-denied"],
  approved: ["tool-approval-request", ...OUTCOME],
  denied: ["tool-output-denied"],
  preliminary: OUTCOME,
  "output-available": [],
  "output-error": ["tool-output-error"],
};

/** The part's row of STAGES. @param {Part} part @returns {string} */
function stageOf({ state, approval, preliminary }) {
  const approved = approval ? approval.approved : true;
  if (state === "output-denied" || (state === "approval-responded" && !approved)) return "denied";
  if (state === "approval-responded") return "approved";
  if (state === "output-available" && preliminary) return "preliminary";
  // Its approver edits the input between the request and the response.
  return state === "input-available" && approved === undefined ? "approval-requested" : state;
}

/**
 * @param {Part} part
 * @param {Chunk} chunk
 * @returns {Part} the part
 * @throws {FoldError} for a chunk that can't follow those before it, such as an output of a denied call
 */
function checkStage(part, { type }) {
  const stage = stageOf(part);
  if (STAGES[stage].includes(type)) return part;
  throw new FoldError("unknown_part", `${type} for a tool call in ${stage}`);
}

/** @param {Part} part @param {Chunk} chunk */
function setState(part, chunk) {
  const { state, takes, keeps } = CHANGES[chunk.type];
  part.state = state;
  for (const name of STATE_FIELDS) if (name !== keeps) delete part[name];
  copyFields(part, chunk, [...takes, ...LASTING]);
  const provider = state.startsWith("output") ? "resultProviderMetadata" : "callProviderMetadata";
  if ("providerMetadata" in chunk) part[provider] = chunk.providerMetadata;
}

// --- Input ---

/** @type {ChunkHandler} */
function toolInput(message, chunk) {
  const call = chunk.toolCallId;
  let index = findInStep(message, chunk);
  if (index >= 0) checkStage(message.parts[index], chunk);
  closeInput(message, call);
  if (index < 0) index = addPart(message, { type: chunk.dynamic ? "dynamic-tool" : "tool-", toolCallId: call });
  const part = message.parts[index];
  if (part.type === "dynamic-tool") part.toolName = chunk.toolName;
  else part.type = `tool-${chunk.toolName}`;
  setState(part, chunk);
  if (chunk.type === "tool-input-start") message.open.tools[call] = { part: index, text: "" };
}

/**
 * Find a call in the current step: some models reuse ids in each step. A tool-input-error matches dynamic and static
 * tools.
 * @param {Message} message
 * @param {Chunk} chunk
 */
function findInStep(message, chunk) {
  const either = chunk.type === "tool-input-error";
  const first = stepStart(message);
  return message.parts.findIndex((part, index) => {
    if (index < first || !isTool(part) || part.toolCallId !== chunk.toolCallId) return false;
    return either || (part.type === "dynamic-tool") === Boolean(chunk.dynamic);
  });
}

/** @type {ChunkHandler} */
function toolInputDelta(message, chunk) {
  const opened = message.open.tools[chunk.toolCallId];
  if (opened === undefined) throw unknownPart(chunk);
  opened.text += chunk.inputTextDelta;
}

/**
 * Close a streaming input, and keep its raw text: it may never become available in another form.
 * @param {Message} message
 * @param {string} call
 */
export function closeInput(message, call) {
  const opened = message.open.tools[call];
  delete message.open.tools[call];
  if (opened?.text) message.parts[opened.part].rawInput = opened.text;
}

// --- Approval ---

/** @type {ChunkHandler} */
function toolApprovalRequest(message, chunk) {
  const part = findCall(message, chunk);
  /** @type {Record<string, any>} */
  const approval = copyFields({ id: chunk.approvalId }, chunk, ["inputSchemaInput", "signature"]);
  if (chunk.approvalDescriptor != null) approval.descriptor = chunk.approvalDescriptor;
  if ("reason" in chunk) approval.requestReason = chunk.reason;
  if (chunk.isAutomatic) approval.isAutomatic = true;
  Object.assign(part, { state: "approval-requested", approval });
}

/** @type {ChunkHandler} */
function toolApprovalResponse(message, chunk) {
  const part = message.parts.find((part) => isTool(part) && part.approval?.id === chunk.approvalId);
  if (part === undefined) throw unknownPart(chunk);
  checkStage(part, chunk);
  part.state = "approval-responded";
  part.approval = { ...part.approval, approved: chunk.approved };
  copyFields(part.approval, chunk, ["reason"]);
  copyFields(part, chunk, ["providerExecuted"]);
  if ("providerMetadata" in chunk) part.callProviderMetadata = chunk.providerMetadata;
}

// --- Output ---

/** @type {ChunkHandler} */
function toolOutput(message, chunk) {
  setState(findCall(message, chunk), chunk);
}

/** @type {ChunkHandler} */
function toolOutputDenied(message, chunk) {
  findCall(message, chunk).state = "output-denied";
}

/**
 * Find the call of a chunk: the first with its id in the current step, else the newest.
 * @param {Message} message
 * @param {Chunk} chunk
 */
function findCall(message, chunk) {
  const first = stepStart(message);
  /** @param {Part} part */
  const same = (part) => isTool(part) && part.toolCallId === chunk.toolCallId;
  const part = message.parts.slice(first).find(same) ?? message.parts.findLast(same);
  if (part === undefined) throw unknownPart(chunk);
  return checkStage(part, chunk);
}

/** @param {Part} part */
function isTool(part) {
  return part.type.startsWith("tool-") || part.type === "dynamic-tool";
}

/** @type {Record<string, ChunkHandler>} */
export const toolHandlers = {
  "tool-input-start": toolInput,
  "tool-input-delta": toolInputDelta,
  "tool-input-available": toolInput,
  "tool-input-error": toolInput,
  "tool-approval-request": toolApprovalRequest,
  "tool-approval-response": toolApprovalResponse,
  "tool-output-available": toolOutput,
  "tool-output-error": toolOutput,
  "tool-output-denied": toolOutputDenied,
};
