// Tools of the AI SDK that people are asked about before they run.

import { ToolFailed } from "./errors.js";

const DENIED = "It was denied.";
const NOT_STREAMED = "turn.tools is for a streamText whose stream is given to turn.stream; this call wasn't in one.";
const STREAMED_MS = 10_000; // within which a call is in the turn's stream

/** @typedef {Record<string, any>} Tool */
/** @typedef {import("./index.d.ts").ApprovalOptions} Asked */

export class SdkTools {
  #turn;
  #signal;
  /** @type {Set<string>} the calls that people are asked about: they write their own outcomes */
  #asked = new Set();
  /** @type {Map<string, {promise: Promise<void>, resolve: () => void}>} */
  #shown = new Map();

  /** @param {import("./turn.js").Turn} turn @param {AbortSignal} signal */
  constructor(turn, signal) {
    this.#turn = turn;
    this.#signal = signal;
  }

  /** @template {Record<string, any>} T @param {T} tools @param {{[name in keyof T]?: Asked}} approvals @returns {T} */
  wrap(tools, approvals) {
    const entries = Object.entries(tools).map(([name, tool]) => {
      const isAsked = tool.execute && (tool.needsApproval || name in approvals);
      return [name, isAsked ? this.#wrapped(name, tool, approvals[name]) : tool];
    });
    return /** @type {T} */ (Object.fromEntries(entries));
  }

  /** Note that the call is part of the answer. @param {string} id */
  show(id) {
    this.#showing(id).resolve();
  }

  /** Return whether a chunk tells the outcome of a call that people were asked about. @param {Tool} chunk */
  hasOutcomeOf({ type, toolCallId }) {
    return this.#asked.has(toolCallId) && /^tool-output-(available|error|denied)$/.test(type);
  }

  /** @param {string} name @param {Tool} tool @param {Asked} [asked] @returns {Tool} */
  #wrapped(name, { needsApproval = true, ...tool }, asked) {
    const execute = async (/** @type {any} */ input, /** @type {Tool} */ options) => {
      const isAsked = typeof needsApproval !== "function" || (await needsApproval(input, options));
      return isAsked ? await this.#ask(name, tool, input, options, asked) : await last(tool.execute(input, options));
    };
    return { ...tool, execute };
  }

  /** @param {string} name @param {Tool} tool @param {any} input @param {Tool} options @param {Asked} [asked] */
  async #ask(name, tool, input, options, asked) {
    const { toolCallId } = options;
    this.#asked.add(toolCallId);
    await this.#untilShown(toolCallId);
    const call = this.#turn.call(toolCallId, name, input);
    const { inputText } = call;
    const decision = await call.approval(asked);
    if (!decision.approved) throw new ToolFailed([DENIED, decision.reason].join(" ").trim());
    return await call.execute(async (args) => {
      const approved = decision.inputText === inputText ? input : await valid(tool.inputSchema, args);
      return await last(tool.execute(approved, options));
    });
  }

  /** @param {string} id */
  async #untilShown(id) {
    const limit = AbortSignal.any([this.#signal, AbortSignal.timeout(STREAMED_MS)]);
    const late = new Promise((_, reject) => limit.addEventListener("abort", () => reject(new ToolFailed(NOT_STREAMED)), { once: true }));
    await Promise.race([this.#showing(id).promise, late]);
    this.#signal.throwIfAborted();
  }

  /** @param {string} id */
  #showing(id) {
    let showing = this.#shown.get(id);
    if (!showing) {
      let resolve = () => {};
      const promise = new Promise((/** @type {(value: void) => void} */ done) => (resolve = done));
      this.#shown.set(id, (showing = { promise, resolve }));
    }
    return showing;
  }
}

/** Return edited arguments as their schema gives them. Rejects with ToolFailed. @param {any} schema @param {any} input */
async function valid(schema, input) {
  const standard = schema?.["~standard"];
  if (standard) {
    const { issues, value } = await standard.validate(input);
    if (issues) throw new ToolFailed(`The edited arguments don't fit: ${issues[0].message}`);
    return value;
  }
  const result = await schema?.validate?.(input);
  if (result && !result.success) throw new ToolFailed(`The edited arguments don't fit: ${result.error.message}`);
  return result ? result.value : input;
}

/** Return a tool's output: of one that yields preliminary ones, the last. @param {any} output */
async function last(output) {
  const awaited = await output;
  if (!awaited?.[Symbol.asyncIterator]) return awaited;
  let newest;
  for await (const value of awaited) newest = value;
  return newest;
}
