// One turn of an agent: what it is asked, and what it writes.

import { AgentFailed } from "./errors.js";
import { SdkTools } from "./sdk-tools.js";
import { CHUNK_BYTES } from "./batches.js";
import { ToolCall } from "./tool-call.js";

const NO_END = "The agent's stream ended before its answer did. What had been written is kept. Ask again.";
const BROKEN_OFF = "The agent's stream was stopped. What had been written is kept. Ask again.";
const NO_ANSWER = "The agent asks for an approval, and its stream has no way back for the decision: pass streamText the tools by turn.tools.";
const MOST_TOKENS = 2 ** 40;
const FINISH_REASONS = ["stop", "length", "content-filter", "tool-calls", "error", "other"];

/** @typedef {import("./batches.js").Chunk} Chunk */
/** @typedef {import("./run.js").Run} Run */

export class Turn {
  #run;
  #kind = "";
  #part = "";
  #count = 0;
  #finishReason = "stop";
  #sdkTools;

  /** @param {Run} run @param {import("./index.d.ts").Message[]} history */
  constructor(run, history) {
    this.#run = run;
    this.session = run.frame.session;
    this.mode = run.frame.mode;
    this.traceparent = run.frame.traceparent ?? "";
    this.history = history;
    this.prompt = textOf(history.findLast(({ role }) => role === "user")?.parts ?? []);
    this.signal = run.signal;
    this.#sdkTools = new SdkTools(this, run.signal);
  }

  /** The largest chunk that `write` takes, in bytes of its JSON. */
  get chunkBytes() {
    return CHUNK_BYTES;
  }

  get finishReason() {
    return this.#finishReason;
  }

  /** @param {string} reason */
  set finishReason(reason) {
    if (!FINISH_REASONS.includes(reason)) throw new TypeError(`A finish reason is one of ${FINISH_REASONS.join(", ")}, not ${reason}.`);
    this.#finishReason = reason;
  }

  /** Append to the answer. @param {string} delta */
  text(delta) {
    return handled(this.#append("text", delta));
  }

  /** Append to the reasoning, which people may look at. @param {string} delta */
  reasoning(delta) {
    return handled(this.#append("reasoning", delta));
  }

  /** Write any other chunk of the AI SDK's. @param {Chunk} chunk */
  write(chunk) {
    return handled(Promise.all([this.#close(), this.#run.write(chunk)]).then(() => undefined));
  }

  /**
   * Add data of the application's own: a `data-<name>` part of the AI SDK. With an id, replace that part.
   * @param {string} name
   * @param {unknown} value
   * @param {{id?: string, transient?: boolean}} [options]
   */
  data(name, value, { id, transient = false } = {}) {
    return this.write({ type: `data-${name}`, data: value, ...(id !== undefined && { id }), ...(transient && { transient }) });
  }

  /** Merge values into the message's metadata. Text that is being written goes on. @param {Record<string, unknown>} values */
  metadata(values) {
    return handled(this.#run.write({ type: "message-metadata", messageMetadata: values }));
  }

  /** Count what a model has read and written. @param {{inputTokens?: number, outputTokens?: number}} counts */
  usage({ inputTokens = 0, outputTokens = 0 }) {
    for (const count of [inputTokens, outputTokens]) {
      if (!Number.isInteger(count) || count < 0 || count > MOST_TOKENS) throw new TypeError(`Tokens are a whole number up to 2^40, not ${count}.`);
    }
    this.#run.response.count({ input_tokens: inputTokens, output_tokens: outputTokens });
  }

  /** Wait until everything written is stored. */
  async flush() {
    await this.#run.flush();
  }

  /** Begin the next step; return what people have said meanwhile, and tell them that it was read. @returns {Promise<string[]>} */
  async step() {
    await this.write({ type: "finish-step" });
    const steers = this.#run.inbox.takeSteers();
    for (const { id, payload } of steers) await this.#run.write({ type: "steering-message", id, parts: payload.parts });
    await this.#run.write({ type: "start-step" });
    return steers.map(({ payload }) => textOf(payload.parts));
  }

  /**
   * Write a tool call and return it: it takes its output, or asks people about it.
   * @param {string} name
   * @param {Record<string, unknown> | string} args or their JSON text, which people then see and approve byte for byte
   * @param {{title?: string}} [options]
   */
  async tool(name, args, { title } = {}) {
    const call = this.call(`call_${++this.#count}`, name, args);
    await Promise.all([this.#close(), call.begin(title)]);
    return call;
  }

  /**
   * Return a call that was written chunk by chunk, with `write` or `stream`: to ask people about it, or for its result.
   * @param {string} id
   * @param {string} name
   * @param {Record<string, unknown> | string} args
   */
  call(id, name, args) {
    return new ToolCall(this.#run, id, name, args);
  }

  /**
   * Return tools for a `streamText` whose stream is given to `stream`: those with `needsApproval`, and those that are
   * named here, ask people, and then run at most once with what was approved.
   * @template {Record<string, any>} T
   * @param {T} tools
   * @param {{[name in keyof T]?: import("./index.d.ts").ApprovalOptions}} [approvals]
   * @returns {T}
   */
  tools(tools, approvals = {}) {
    return this.#sdkTools.wrap(tools, approvals);
  }

  /**
   * Write a UI message stream, such as `streamText(…).toUIMessageStream()`, up to its end.
   * @param {AsyncIterable<any> | ReadableStream<any>} chunks
   */
  async stream(chunks) {
    let steps = 0;
    let isFinished = false;
    for await (const chunk of until(this.signal, chunks)) {
      if ("messageMetadata" in chunk && ["start", "finish"].includes(chunk.type)) await this.metadata(chunk.messageMetadata ?? {});
      if (chunk.type === "start-step") {
        if (steps++) await this.#nextStep(); // the first one has begun with the turn
      } else if (chunk.type === "finish") {
        isFinished = true;
        if (FINISH_REASONS.includes(chunk.finishReason)) this.#finishReason = chunk.finishReason;
      } else if (!["start", "finish-step"].includes(chunk.type) && !this.#sdkTools.hasOutcomeOf(chunk)) {
        refuse(chunk);
        await this.write(chunk);
        if (chunk.type === "tool-input-available") this.#sdkTools.show(chunk.toolCallId);
      }
    }
    if (!isFinished) throw new AgentFailed(NO_END);
  }

  /** Begin the answer. Called once, before the agent. */
  async begin() {
    await this.#run.write({ type: "start", messageId: this.#run.response.id });
    await this.#run.write({ type: "start-step" });
  }

  /** End the answer. Called once, after the agent. */
  async finish() {
    await this.write({ type: "finish-step" });
    await this.#run.end({ type: "finish", finishReason: this.#finishReason });
  }

  async #nextStep() {
    await this.write({ type: "finish-step" });
    await this.#run.write({ type: "start-step" });
  }

  /** Order is that of the calls: nothing is awaited before the last chunk is handed over. @param {string} kind @param {string} delta */
  async #append(kind, delta) {
    if (typeof delta !== "string") throw new TypeError(`turn.${kind} takes a string, not ${delta}.`);
    const written = [];
    if (this.#kind !== kind) {
      written.push(this.#close());
      this.#kind = kind;
      this.#part = `${kind}_${++this.#count}`;
      written.push(this.#run.write({ type: `${kind}-start`, id: this.#part }));
    }
    if (delta) written.push(this.#run.write({ type: `${kind}-delta`, id: this.#part, delta }));
    await Promise.all(written);
  }

  /** End the part that text is appended to. */
  async #close() {
    const kind = this.#kind;
    this.#kind = "";
    if (kind) await this.#run.write({ type: `${kind}-end`, id: this.#part });
  }
}

/** Keep a write that isn't awaited from ending the process: the answer's end tells. @template T @param {Promise<T>} written */
function handled(written) {
  written.catch(() => undefined);
  return written;
}

/**
 * Yield a stream's chunks until the signal is aborted; then cancel the stream, whatever it waits for, and throw.
 * @param {AbortSignal} signal
 * @param {AsyncIterable<any> | ReadableStream<any>} chunks
 */
async function* until(signal, chunks) {
  const controller = new AbortController();
  const aborted = new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true, signal: controller.signal });
  });
  const reader = "getReader" in chunks ? chunks.getReader() : null;
  const iterator = reader ? null : /** @type {AsyncIterable<any>} */ (chunks)[Symbol.asyncIterator]();
  let isDone = false;
  try {
    while (true) {
      signal.throwIfAborted();
      const next = await Promise.race([reader ? reader.read() : iterator?.next(), aborted]);
      if ((isDone = next.done)) return;
      yield next.value;
    }
  } finally {
    controller.abort();
    const ended = isDone ? null : reader ? reader.cancel(signal.reason) : iterator?.return?.();
    ended?.catch(() => undefined); // nothing more of it is wanted
  }
}

/** @param {Chunk} chunk */
function refuse({ type, errorText }) {
  if (type === "error") throw new AgentFailed(errorText || BROKEN_OFF);
  if (type === "abort") throw new AgentFailed(BROKEN_OFF);
  if (type === "tool-approval-request") throw new AgentFailed(NO_ANSWER);
}

/** @param {Record<string, any>[]} parts */
function textOf(parts) {
  return parts
    .filter(({ type }) => type === "text")
    .map(({ text }) => text)
    .join("\n");
}
