// One message: its parts, how it stands in words, and what can be done with it.
import { copyButton } from "./copy-button.js";
import { icon } from "./icon.js";
import { createPartView } from "./parts.js";
import { showText } from "./show-text.js";
import { answerNotice, clockTime, deliveryNotice, receiptOf, retryNotice, workNotice } from "./wording.js";

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
 * Its element dispatches "dismiss", with the message's id, when the person is done with one that wasn't sent, "retry", with
 * `{message, mode}`, and what its approvals do.
 */
export class MessageView {
  #body = create("div", "message-body");
  #working = create("p", "working");
  #notice = create("p", "message-notice");
  #foot = create("div", "message-foot");
  #delivery = create("span", "delivery");
  #dismiss = create("button", "quiet-button");
  #again = create("div", "again");
  #retrying = create("p", "working");
  /** @type {{type: string, view: ReturnType<typeof createPartView>}[]} */
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
    this.#delivery.dataset.testid = "delivery";
    const copy = copyButton("Copy message", () => textOf(this.#message));
    this.#dismiss.type = "button";
    this.#dismiss.textContent = "Remove";
    this.#dismiss.addEventListener("click", () => this.#emit("dismiss", this.#message.id));
    this.#foot.append(copy, timeOf(message.created_at), this.#delivery, this.#dismiss);
    for (const [mode, label] of Object.entries(RETRIES)) this.#again.append(this.#retryButton(mode, label));
    this.element.append(speaker, this.#body, this.#working, this.#notice, this.#again, this.#retrying, this.#foot);
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
    this.#showParts(message, { ended: !streaming, tools: message.open?.tools ?? {}, ...surroundings });
    this.#showWork(message, surroundings);
    showText(this.#notice, message.role === "assistant" ? noticeOf(message, surroundings.signalStatus) : "");
    this.#showAgain(message, surroundings);
    this.#showDelivery(message, surroundings);
    this.#foot.hidden = streaming;
  }

  #showParts({ parts, role }, context) {
    this.#parts.splice(parts.length).forEach(({ view }) => view?.element.remove());
    parts.forEach((part, index) => this.#partView(part, index, role)?.update(part, context));
  }

  #partView(part, index, role) {
    const shown = this.#parts[index];
    if (shown?.type === part.type) return shown.view;
    const view = createPartView(part, role);
    shown?.view?.element.remove();
    this.#parts[index] = { type: part.type, view };
    if (view) this.#place(view.element, index);
    return view;
  }

  #place(element, index) {
    element.classList.add("part");
    const before = this.#parts.slice(index + 1).find(({ view }) => view);
    this.#body.insertBefore(element, before?.view.element ?? null);
  }

  #showWork({ status, parts }, { signalStatus }) {
    const waits = parts.some(({ state, approval }) => state === "approval-requested" && !signalStatus.decision(approval.id));
    const shows = status !== "streaming" || writesNow(parts.at(-1));
    showText(this.#working, shows ? "" : workNotice(waits));
  }

  #showAgain({ id }, { signalStatus, online, retryable }) {
    const retry = signalStatus.retry(id);
    this.#again.hidden = id !== retryable || Boolean(retry);
    showText(this.#retrying, retry ? retryNotice(retry.payload.mode, online) : "");
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

function timeOf(createdAt) {
  const time = create("time", "");
  const date = new Date(createdAt ?? Date.now());
  time.dateTime = date.toISOString();
  time.title = date.toLocaleString([], { dateStyle: "full", timeStyle: "short" });
  time.textContent = clockTime(date);
  return time;
}

function create(tag, className) {
  const element = document.createElement(tag);
  element.className = className;
  return element;
}
