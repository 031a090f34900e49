// Approval card of a tool call: exact arguments, expiry, and the decision with its author.
import { CodeBlock } from "./code-block.js";
import { argumentsProblem, exactJson, layOut } from "./exact-json.js";
import { icon } from "./icon.js";
import { showText } from "./show-text.js";
import { decisionNotice, expiryNotice, toolTitle } from "./wording.js";

const TICK_MS = 1_000;
const UNSENT = ["waiting", "sending"];
let cards = 0;

/** Its element dispatches "decide", with `detail` `{approval, approved, inputText}`; `inputText` only if edited. */
export class ApprovalCard {
  element = create("section", "approval");
  /** The decision, pending or valid. @type {import("./wording.js").Decision|null} */
  decision = null;
  /** Whether it waits for a decision. */
  pending = true;
  #name = create("bdi"); // isolates the text direction
  #tool = create("code");
  #reason = create("p", "approval-reason");
  #code = new CodeBlock();
  #editor = new ArgumentsEditor();
  #expiry = create("p", "approval-expiry");
  #approve = button("Approve", "small-button approve", "approve");
  #deny = button("Deny", "small-button", "deny");
  #edit = button("Edit arguments", "quiet-button", "edit-arguments");
  #question = create("div", "approval-question");
  #decided = create("p", "approval-decision");
  #refusal = create("p", "approval-refusal");
  #part = null;
  #shown = "";
  #timer = 0;

  constructor() {
    const title = create("h3", "approval-title");
    title.id = `approval-${(cards += 1)}`;
    title.append(icon("ask"), "Allow “", this.#name, "”? ", this.#tool);
    this.element.tabIndex = -1; // takes the focus when the buttons disappear
    this.element.dataset.testid = "approval";
    this.element.setAttribute("role", "group");
    this.element.setAttribute("aria-labelledby", title.id);
    this.#reason.dir = "auto";
    this.#expiry.setAttribute("role", "timer");
    this.#decided.dataset.testid = "decision";
    this.#refusal.dataset.testid = "decision-refused";
    const actions = create("div", "approval-actions");
    actions.append(this.#approve, this.#deny, this.#edit, this.#expiry);
    this.#question.append(title, this.#reason, this.#code.element, this.#editor.element, actions);
    this.element.append(this.#question, this.#decided, this.#refusal);
    this.#approve.addEventListener("click", () => this.#approved());
    this.#deny.addEventListener("click", () => this.#decide({ approved: false }));
    this.#edit.addEventListener("click", () => this.#toggleEditor());
    this.#editor.addEventListener("change", () => (this.#approve.disabled = this.#editor.invalid));
    this.#editor.addEventListener("leave", () => this.#toggleEditor());
  }

  /**
   * @param {object} part a tool call with an approval
   * @param {import("./parts.js").Context} context
   */
  update(part, { ended, signalStatus, online, refusals }) {
    this.#part = part;
    this.decision = decisionOf(part, signalStatus);
    this.pending = !this.decision && !ended;
    this.element.dataset.state = this.pending ? "pending" : (this.decision?.state ?? "over");
    this.#question.hidden = !this.pending;
    this.#showQuestion(part);
    const mine = signalStatus.isMine(this.decision?.by ?? null);
    showText(this.#decided, this.pending ? "" : decisionNotice(this.decision, { mine, online }));
    showText(this.#refusal, refusals.get(part.approval.id) ?? "");
    this.#keepTime();
  }

  #showQuestion({ title, toolName, type, input, approval }) {
    const tool = toolName ?? type.replace(/^tool-/, "");
    showText(this.#name, title ?? toolTitle(tool));
    showText(this.#tool, tool);
    showText(this.#reason, approval.requestReason ?? "");
    const exact = approval.descriptor.input_text;
    const text = typeof exact === "string" ? layOut(exact) : exactJson(input);
    if (text !== this.#shown) this.#code.update((this.#shown = text), "Arguments");
    this.#editor.name(tool);
    this.#edit.hidden = !approval.descriptor.editable;
  }

  // --- Time ---

  #keepTime() {
    const { expires_at: due = null } = this.#part.approval.descriptor;
    const runs = this.pending && due !== null;
    showText(this.#expiry, runs ? expiryNotice(due - Date.now()) : "");
    if (!runs) this.#stopTimer();
    else this.#timer ||= setInterval(() => (this.element.isConnected ? this.#keepTime() : this.#stopTimer()), TICK_MS);
  }

  #stopTimer() {
    clearInterval(this.#timer);
    this.#timer = 0;
  }

  // --- Deciding ---

  #approved() {
    const { text } = this.#editor;
    const isEdited = text !== null && text !== this.#shown;
    this.#decide(isEdited ? { approved: true, inputText: text } : { approved: true });
  }

  #decide(decision) {
    if (this.element.contains(document.activeElement)) this.element.focus({ preventScroll: true });
    const detail = { approval: this.#part.approval.id, ...decision };
    this.element.dispatchEvent(new CustomEvent("decide", { bubbles: true, detail }));
  }

  #toggleEditor() {
    if (this.#editor.isOpen) this.#editor.close();
    else this.#editor.open(this.#shown);
    const { isOpen } = this.#editor;
    this.#code.element.hidden = isOpen;
    showText(this.#edit, isOpen ? "Discard edits" : "Edit arguments");
    showText(this.#approve, isOpen ? "Approve as edited" : "Approve");
    this.#approve.disabled = this.#editor.invalid;
    if (!isOpen) this.#edit.focus();
  }
}

/** Editor of a tool's arguments as JSON. Dispatches "change", and "leave" at Escape. */
class ArgumentsEditor extends EventTarget {
  element = create("div", "arguments-editor");
  #label = create("label", "visually-hidden");
  #field = create("textarea");
  #problem = create("p", "arguments-problem");
  /** JSON text of the edited arguments; null if not edited or invalid. @type {string|null} */
  text = null;

  constructor() {
    super();
    this.#field.id = `arguments-${(cards += 1)}`;
    this.#field.spellcheck = false;
    this.#field.dataset.testid = "arguments";
    this.#label.htmlFor = this.#field.id;
    this.#problem.id = `${this.#field.id}-problem`;
    this.#problem.setAttribute("role", "status");
    this.#field.setAttribute("aria-describedby", this.#problem.id);
    this.element.hidden = true;
    this.element.append(this.#label, this.#field, this.#problem);
    this.#field.addEventListener("input", () => this.#read());
    this.#field.addEventListener("keydown", ({ key }) => key === "Escape" && this.dispatchEvent(new Event("leave")));
  }

  get isOpen() {
    return !this.element.hidden;
  }

  get invalid() {
    return this.isOpen && this.text === null;
  }

  /** @param {string} tool */
  name(tool) {
    showText(this.#label, `Arguments of ${tool}, as JSON`);
  }

  /** @param {string} text */
  open(text) {
    this.element.hidden = false;
    this.#field.value = text;
    this.#field.rows = Math.min(16, text.split("\n").length + 1);
    this.#read();
    this.#field.focus();
  }

  close() {
    this.element.hidden = true;
    this.text = null;
  }

  #read() {
    const problem = argumentsProblem(this.#field.value);
    this.text = problem === null ? this.#field.value : null;
    this.#field.setAttribute("aria-invalid", String(problem !== null));
    showText(this.#problem, problem ?? "");
    this.dispatchEvent(new Event("change"));
  }
}

/**
 * @param {object} part
 * @param {import("./signal-status.js").SignalStatus} signalStatus
 * @returns {import("./wording.js").Decision|null} the decision, pending or valid
 */
function decisionOf({ approval, callProviderMetadata }, signalStatus) {
  if (approval.approved !== undefined) {
    const { decided_by: by = null, decided_at: at = null, edited = false } = callProviderMetadata?.holdfast ?? {};
    const state = by === null ? "expired" : approval.approved ? "approved" : "denied";
    return { state, sending: false, by, at, edited, reason: approval.reason ?? "" };
  }
  const signal = signalStatus.decision(approval.id);
  if (!signal) return null;
  const { kind, status, actor: by, at, payload } = signal;
  const edited = payload.edited ?? ("input_text" in payload || "input" in payload);
  const state = kind === "approve" ? "approved" : "denied";
  return { state, sending: UNSENT.includes(status), by, at, edited, reason: payload.reason ?? "" };
}

function button(label, className, testid) {
  const element = create("button", className);
  element.type = "button";
  element.textContent = label;
  element.dataset.testid = testid;
  return element;
}

function create(tag, className = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  return element;
}
