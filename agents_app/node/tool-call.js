// One tool call: its output, an approval of its arguments, its execution at most once, a client's result.

import { randomBytes } from "node:crypto";

import { HoldfastError, ToolFailed } from "./errors.js";

const EXPIRED = "No decision arrived in time.";
const NO_RESULT = "No result arrived in time.";
const TOOL_FAILED = "The tool failed.";
const NOT_APPROVED = "It was not approved, or it has been called before.";
const UNKNOWN_OUTCOME = "The agent stopped while this ran: whether it took effect is not known.";
const UNTOLD = "It was done, but its output is too large or is not JSON, and can't be shown.";
const WAIT_MS = 300_000;
const MOST_EXPIRES_MS = 10 * 365 * 86_400_000; // ten years

/**
 * @typedef {{
 *   approved: boolean, input: Record<string, any>, inputText: string, reason: string, actor: string | null, issuedBy: string
 * }} Decision
 */

export class ToolCall {
  #run;
  #inputText;
  #approval = "";
  #ended = ""; // how, once it has

  /** @param {import("./run.js").Run} run @param {string} id @param {string} name @param {Record<string, any> | string} args */
  constructor(run, id, name, args) {
    this.#run = run;
    this.id = id;
    this.name = name;
    this.#inputText = typeof args === "string" ? args : JSON.stringify(args);
    this.input = JSON.parse(this.#inputText ?? "null");
    if (!this.input || typeof this.input !== "object" || Array.isArray(this.input)) throw new TypeError("A tool's arguments are a JSON object.");
  }

  /** The JSON text of the arguments, which people decide about. */
  get inputText() {
    return this.#inputText;
  }

  /** Write the call with its arguments. @param {string} [title] */
  async begin(title) {
    const call = { toolCallId: this.id, toolName: this.name, ...(title !== undefined && { title }) };
    await this.#run.write({ type: "tool-input-start", ...call });
    await this.#run.write({ type: "tool-input-available", ...call, input: this.input });
  }

  /** End the call with its output: any JSON value. @param {unknown} output */
  async output(output) {
    this.#checkOpen();
    await this.#end(this.#outputOf(output), "it has its output");
  }

  /** End the call with its error. @param {string} message */
  async error(message) {
    this.#checkOpen();
    await this.#end(this.#errorOf(message), "it has failed");
  }

  /**
   * Ask people about exactly this call, and wait for the first decision. One that is denied ends the call.
   * @param {{reason?: string, expiresMs?: number | null, editable?: boolean}} [options] expiresMs: null for as long as
   *   the session lives
   * @returns {Promise<Decision>}
   */
  async approval({ reason = "", expiresMs = WAIT_MS, editable = false } = {}) {
    this.#checkOpen();
    if (expiresMs !== null && !(expiresMs >= 0 && expiresMs <= MOST_EXPIRES_MS)) {
      throw new TypeError(`expiresMs is from 0 to ${MOST_EXPIRES_MS} milliseconds, or null, not ${expiresMs}.`);
    }
    const approval = `approval_${randomBytes(16).toString("base64url")}`;
    const descriptor = { input_text: this.#inputText, expires_ms: expiresMs && Math.round(expiresMs), editable };
    const request = { type: "tool-approval-request", toolCallId: this.id, approvalId: approval, approvalDescriptor: descriptor };
    await this.#run.write({ ...request, ...(reason && { reason }) });
    await this.#run.flush();
    this.#approval = approval;
    const decision = await this.#decision(approval, expiresMs);
    await this.#writeDecision(decision);
    return decision;
  }

  /**
   * Call a function with the approved arguments, at most once whatever dies, and write its output. The site has stored
   * the beginning before. Rejects with ToolFailed, whose words are written too.
   * @template T
   * @param {(input: Record<string, any>, signal: AbortSignal) => T | Promise<T>} tool
   * @returns {Promise<T>}
   */
  async execute(tool) {
    const answer = this.#approval && (await this.#run.ask({ type: "begin", approval: this.#approval }));
    this.#run.signal.throwIfAborted();
    if (answer === "stop") await this.#run.stopped();
    if (answer !== "begun") throw new ToolFailed(NOT_APPROVED);
    const output = await this.#call(tool);
    try {
      await this.#end(this.#outputOf(output), "it has been called");
    } catch (problem) {
      if (!this.#run.signal.aborted) await this.#end(this.#errorOf(UNTOLD), "it has been called").catch(() => undefined);
      throw problem;
    }
    await this.#run.flush();
    return output;
  }

  /** Wait for the result of a tool that runs at the client. Rejects with ToolFailed. @param {{timeoutMs?: number | null}} [options] */
  async result({ timeoutMs = WAIT_MS } = {}) {
    this.#checkOpen();
    const call = { type: "tool-input-available", toolCallId: this.id, toolName: this.name, input: this.input };
    if (!this.#approval) await this.#run.write({ ...call, toolMetadata: { holdfast: { client: true } } });
    await this.#run.flush(); // what isn't stored can't be answered
    const signal = await this.#run.inbox.waitFor(this.id, timeoutMs, this.#run.signal);
    if (!signal || "error" in signal.payload) {
      const message = signal?.payload.error ?? NO_RESULT;
      await this.error(message);
      throw new ToolFailed(message);
    }
    await this.output(signal.payload.output);
    return signal.payload.output;
  }

  /** @param {string} approval @param {number | null} expiresMs @returns {Promise<Decision>} */
  async #decision(approval, expiresMs) {
    const { inbox, signal: stop } = this.#run;
    let signal = await inbox.waitFor(approval, expiresMs, stop);
    if (!signal && !(await this.#run.ask({ type: "expire", approval }))) {
      signal = await inbox.waitFor(approval, null, stop); // it was decided in the last moment
    }
    if (!signal) return { approved: false, input: this.input, inputText: this.#inputText, reason: EXPIRED, actor: null, issuedBy: "" };
    const { input = this.input, input_text: inputText = this.#inputText, reason = "" } = signal.payload;
    return { approved: signal.kind === "approve", input, inputText, reason, actor: signal.actor, issuedBy: signal.issued_by ?? "" };
  }

  /** Write the decision for all readers; the site adds who has decided, and when. @param {Decision} decision */
  async #writeDecision({ approved, input, inputText, reason }) {
    if (inputText !== this.#inputText) {
      this.#inputText = inputText;
      this.input = input;
      await this.#run.write({ type: "tool-input-available", toolCallId: this.id, toolName: this.name, input });
    }
    await this.#run.write({ type: "tool-approval-response", approvalId: this.#approval, approved, ...(reason && { reason }) });
    if (!approved) await this.#end({ type: "tool-output-denied", toolCallId: this.id }, "it was denied");
    await this.#run.flush();
  }

  /** @template T @param {(input: Record<string, any>, signal: AbortSignal) => T | Promise<T>} tool @returns {Promise<T>} */
  async #call(tool) {
    const { signal } = this.#run;
    try {
      const input = JSON.parse(this.#inputText); // what was decided about, not an object in others' hands
      return await Promise.race([tool(input, signal), this.#run.stopped()]);
    } catch (problem) {
      const told = problem instanceof ToolFailed ? problem.message : TOOL_FAILED;
      this.#ended = "it has been called";
      await this.#run.writeLast(this.#errorOf(signal.aborted ? UNKNOWN_OUTCOME : told));
      signal.throwIfAborted();
      throw new ToolFailed(told, { cause: problem });
    }
  }

  /** @param {unknown} output @returns {import("./batches.js").Chunk} */
  #outputOf(output) {
    return { type: "tool-output-available", toolCallId: this.id, output: output ?? null };
  }

  /** @param {string} message @returns {import("./batches.js").Chunk} */
  #errorOf(message) {
    return { type: "tool-output-error", toolCallId: this.id, errorText: message };
  }

  /** @param {import("./batches.js").Chunk} chunk @param {string} how */
  async #end(chunk, how) {
    await this.#run.write(chunk);
    this.#ended = how;
  }

  /** Reject at the agent's own line, so that its answer can go on. */
  #checkOpen() {
    if (this.#ended) throw new HoldfastError("unknown_part", `Tool call ${this.id} takes nothing more: ${this.#ended}.`);
  }
}
