// One message: its parts, how it stands in words, and what can be done with it.
import { copyButton } from "./copy-button.js";
import { warnOfError } from "./draw-errors.js";
import { icon } from "./icon.js";
import { FallbackView, createPartView } from "./parts.js";
import { showText } from "./show-text.js";
import {
  MESSAGE_PROBLEM, answerNotice, clockTime, deliveryNotice, receiptOf, retryNotice, workNotice,
} from "./wording.js";

const DELIVERY_ICONS = { waiting: "clock", sending: "clock", failed: "alert" };
const RECEIPT_ICONS = { sent: "check", delivered: "checks", read: "checks" };
const SPEAKERS = { user: "You", assistant: "Assistant", system: "Note" };
const RETRIES = { continue: "Continue", regenerate: "Regenerate" };

/**
 * What a message is drawn by, beside itself.
 * @typedef {object} Surroundings
 * @property {import("./signal-status.js").SignalStatus} signalStatus
 * @property {boolean} online whether what waits can leave at once
 * @property {string|null} retryable the answer that may be continued or given anew
 * @property {Map<string, string>} refusals why a decision of this tab's didn't count, by approval
 */

/**
 * A part on show.
 * @typedef {object} ShownPart
 * @property {string} type
 * @property {ReturnType<typeof createPartView>} view
 * @property {boolean} failed whether its own view has thrown, and this is a `FallbackView`
 */

/**
 * Its element dispatches "dismiss", with the message's id, when the person is done with one that wasn't sent, "retry", with
 * `{message, mode}`, and what its approvals do.
 */
export class MessageView {
  #body = create("div", "message-body");
  #working = create("p", "working");
  #notice = create("p", "message-notice");
  #problem = create("p", "message-notice");
  #foot = create("div", "message-foot");
  #time = create("time", "");
  #delivery = create("span", "delivery");
  #dismiss = create("button", "quiet-button");
  #again = create("div", "again");
  #retrying = create("p", "working");
  /** @type {ShownPart[]} */
  #parts = [];
  #message;

  /** @param {object} message */
  constructor(message) {
    this.element = create("li", "message");
    this.element.dataset.testid = "message";
    this.element.dataset.id = message.id;
    this.element.dataset.role = message.role;
    const speaker = create("h2", "visually-hidden");
    speaker.textContent = SPEAKERS[message.role] ?? message.role;
    this.#notice.dataset.testid = "message-notice";
    this.#problem.dataset.testid = "message-problem";
    this.#problem.hidden = true;
    this.#delivery.dataset.testid = "delivery";
    const copy = copyButton("Copy message", () => textOf(this.#message));
    this.#dismiss.type = "button";
    this.#dismiss.textContent = "Remove";
    this.#dismiss.addEventListener("click", () => this.#emit("dismiss", this.#message.id));
    this.#foot.append(copy, this.#time, this.#delivery, this.#dismiss);
    for (const [mode, label] of Object.entries(RETRIES)) this.#again.append(this.#retryButton(mode, label));
    this.element.append(speaker, this.#body, this.#working, this.#notice, this.#problem, this.#again, this.#retrying);
    this.element.append(this.#foot);
  }

  #retryButton(mode, label) {
    const button = create("button", "small-button");
    button.type = "button";
    button.textContent = label;
    button.dataset.testid = mode;
    button.addEventListener("click", () => this.#emit("retry", { message: this.#message.id, mode }));
    return button;
  }

  /**
   * @param {object} message as the client holds it now
   * @param {Surroundings} surroundings
   */
  update(message, surroundings) {
    this.#message = message;
    const streaming = message.status === "streaming";
    this.element.dataset.status = message.status;
    this.element.setAttribute("aria-busy", String(streaming));
    this.#foot.hidden = streaming;
    this.#drawEach([
      () => this.#showParts(message, { ended: !streaming, tools: message.open?.tools ?? {}, ...surroundings }),
      () => this.#showWork(message, surroundings),
      () => showText(this.#notice, message.role === "assistant" ? noticeOf(message, surroundings.signalStatus) : ""),
      () => this.#showAgain(message, surroundings),
      () => this.#showTime(message),
      () => this.#showDelivery(message, surroundings),
    ]);
  }

  // One that fails stops neither the others, nor the rest of the conversation.
  #drawEach(pieces) {
    const [error] = pieces.map(errorOf).filter(Boolean);
    if (error && this.#problem.hidden) warnOfError("A message", error);
    showText(this.#problem, error ? MESSAGE_PROBLEM : "");
  }

  #showParts({ parts, role }, context) {
    this.#parts.splice(parts.length).forEach(({ view }) => view?.element.remove());
    parts.forEach((part, index) => this.#showPart(part, index, role, context));
  }

  #showPart(part, index, role, context) {
    const shown = this.#parts[index];
    const next = drawPart(shown, part, role, context);
    this.#parts[index] = next;
    if (next.view === shown?.view) return;
    shown?.view?.element.remove();
    if (next.view) this.#place(next.view.element, index);
  }

  #place(element, index) {
    element.classList.add("part");
    const before = this.#parts.slice(index + 1).find(({ view }) => view);
    this.#body.insertBefore(element, before?.view.element ?? null);
  }

  #showWork({ status, parts }, { signalStatus }) {
    const asks = ({ state, approval }) => state === "approval-requested" && approval && !signalStatus.decision(approval.id);
    const shows = status !== "streaming" || writesNow(parts.at(-1));
    showText(this.#working, shows ? "" : workNotice(parts.some(asks)));
  }

  #showAgain({ id }, { signalStatus, online, retryable }) {
    const retry = signalStatus.retry(id);
    this.#again.hidden = id !== retryable || Boolean(retry);
    showText(this.#retrying, retry ? retryNotice(retry.payload.mode, online) : "");
  }

  #showTime({ created_at: createdAt }) {
    if (this.#time.dateTime) return;
    const date = new Date(createdAt ?? Date.now());
    this.#time.dateTime = date.toISOString();
    this.#time.title = date.toLocaleString([], { dateStyle: "full", timeStyle: "short" });
    this.#time.textContent = clockTime(date);
  }

  #showDelivery(message, { signalStatus, online }) {
    this.#dismiss.hidden = message.role !== "user" || message.status !== "failed";
    if (message.role !== "user") return;
    const signal = signalStatus.of(message.id);
    const receipt = message.loose ? "waiting" : receiptOf(signal);
    const text = deliveryNotice(message, online, signal);
    this.element.dataset.receipt = receipt;
    if (this.#delivery.textContent === text) return;
    const drawn = DELIVERY_ICONS[message.status] ?? signalIcon(signal, receipt);
    this.#delivery.replaceChildren(icon(drawn), text);
  }

  #emit(type, detail) {
    this.element.dispatchEvent(new CustomEvent(type, { bubbles: true, detail }));
  }
}

/**
 * Bring a part's view up to date, or make another. One that has failed may be half drawn: it is never used again.
 * @param {ShownPart|undefined} shown
 * @param {object} part
 * @param {string} role
 * @param {import("./parts.js").Context} context
 * @returns {ShownPart}
 */
function drawPart(shown, part, role, context) {
  try {
    const fits = shown?.type === part.type && !shown.failed;
    const view = fits ? shown.view : createPartView(part, role);
    view?.update(part, context);
    return { type: part.type, view, failed: false };
  } catch (error) {
    if (!shown?.failed) warnOfError("A part", error);
    const view = shown?.failed ? shown.view : new FallbackView();
    view.update(part);
    return { type: "", view, failed: true };
  }
}

/** @param {() => void} draw @returns {Error|null} */
function errorOf(draw) {
  try {
    draw();
    return null;
  } catch (error) {
    return error;
  }
}

/**
 * @param {object} message an answer
 * @param {import("./signal-status.js").SignalStatus} signalStatus
 * @returns {string} how it stands, if it did not simply complete
 */
export function noticeOf(message, signalStatus) {
  const stop = message.status === "cancelled" ? signalStatus.stop(message) : undefined;
  return answerNotice(message, stop ? signalStatus.isMine(stop.actor) : null);
}

/** @param {object} message @returns {string} its text parts, as Markdown */
export function textOf({ parts }) {
  return parts.filter(({ type }) => type === "text").map(({ text }) => text).join("\n\n");
}

// Text that grows shows by itself that the agent works.
function writesNow(part) {
  return part?.type === "text" && part.state === "streaming" && part.text !== "";
}

function signalIcon(signal, receipt) {
  if (signal?.status === "rejected" || signal?.status === "expired") return "alert";
  return RECEIPT_ICONS[receipt] ?? "clock";
}

function create(tag, className) {
  const element = document.createElement(tag);
  element.className = className;
  return element;
}
