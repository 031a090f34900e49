// One tool call: its output, an approval of its arguments, its execution at most once, a client's result.

import { randomBytes } from "node:crypto";

import { ToolFailed } from "./errors.js";

const EXPIRED = "No decision arrived in time.";
const NO_RESULT = "No result arrived in time.";
const TOOL_FAILED = "The tool failed.";
const NOT_APPROVED = "It was not approved, or it has been called before.";
const UNKNOWN_OUTCOME = "The agent stopped while this ran: whether it took effect is not known.";
const WAIT_MS = 300_000;

/** @typedef {{approved: boolean, input: Record<string, any>, inputText: string, reason: string, actor: string | null}} Decision */

export class ToolCall {
  #run;
  #inputText;
  #approval = "";

  /** @param {import("./run.js").Run} run @param {string} id @param {string} name @param {Record<string, any> | string} args */
  constructor(run, id, name, args) {
    this.#run = run;
    this.id = id;
    this.name = name;
    this.#inputText = typeof args === "string" ? args : JSON.stringify(args);
    this.input = JSON.parse(this.#inputText ?? "null");
    if (!this.input || typeof this.input !== "object" || Array.isArray(this.input)) throw new TypeError("A tool's arguments are a JSON object.");
  }

  /** Write the call's output. @param {unknown} output */
  async output(output) {
    await this.#run.write({ type: "tool-output-available", toolCallId: this.id, output: output ?? null });
  }

  /** Write the call's error. @param {string} message */
  async error(message) {
    await this.#run.write({ type: "tool-output-error", toolCallId: this.id, errorText: message });
  }

  /**
   * Ask people about exactly this call, and wait for the first decision. One that is denied ends the call.
   * @param {{reason?: string, expiresMs?: number | null, editable?: boolean}} [options] expiresMs: null for as long as
   *   the session lives
   * @returns {Promise<Decision>}
   */
  async approval({ reason = "", expiresMs = WAIT_MS, editable = false } = {}) {
    const approval = `approval_${randomBytes(16).toString("base64url")}`;
    const descriptor = { input_text: this.#inputText, expires_ms: expiresMs, editable };
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
    await this.output(output);
    await this.#run.flush();
    return output;
  }

  /** Wait for the result of a tool that runs at the client. Rejects with ToolFailed. @param {{timeoutMs?: number | null}} [options] */
  async result({ timeoutMs = WAIT_MS } = {}) {
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
    if (!signal) return { approved: false, input: this.input, inputText: this.#inputText, reason: EXPIRED, actor: null };
    const { input = this.input, input_text: inputText = this.#inputText, reason = "" } = signal.payload;
    return { approved: signal.kind === "approve", input, inputText, reason, actor: signal.actor };
  }

  /** Write the decision for all readers; the site adds who has decided, and when. @param {Decision} decision */
  async #writeDecision({ approved, input, inputText, reason }) {
    if (inputText !== this.#inputText) {
      this.#inputText = inputText;
      this.input = input;
      await this.#run.write({ type: "tool-input-available", toolCallId: this.id, toolName: this.name, input });
    }
    await this.#run.write({ type: "tool-approval-response", approvalId: this.#approval, approved, ...(reason && { reason }) });
    if (!approved) await this.#run.write({ type: "tool-output-denied", toolCallId: this.id });
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
      const outcome = { type: "tool-output-error", toolCallId: this.id, errorText: signal.aborted ? UNKNOWN_OUTCOME : told };
      await this.#run.writeLast(outcome);
      signal.throwIfAborted();
      throw new ToolFailed(told, { cause: problem });
    }
  }
}
