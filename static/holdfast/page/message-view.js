// View of a message: parts, status and actions.
import { responsesOf } from "../branches.js";
import { AlternativesView } from "./alternatives.js";
import { copyButton } from "./copy-button.js";
import { warnOfError } from "./draw-errors.js";
import { icon } from "./icon.js";
import { FallbackView, createPartView } from "./parts.js";
import { showText } from "./show-text.js";
import {
  MESSAGE_PROBLEM, answerNotice, begunNotice, clockTime, deliveryNotice, receiptOf, retryNotice, workNotice,
} from "./wording.js";

const DELIVERY_ICONS = { waiting: "clock", sending: "clock", failed: "alert" };
const RECEIPT_ICONS = { sent: "check", delivered: "checks", read: "checks" };
const SPEAKERS = { user: "You", assistant: "Assistant", system: "Note" };
const RETRIES = { continue: "Continue", regenerate: "Regenerate" };

/**
 * Context that a message is drawn with.
 * @typedef {object} Surroundings
 * @property {import("./signal-status.js").SignalStatus} signalStatus
 * @property {boolean} online whether messages can be sent now
 * @property {string|null} retryable id of the answer that can be continued or regenerated
 * @property {Map<string, string>} refusals why a decision of this tab was refused, by approval
 * @property {import("./revealer.js").Revealer} revealer of growing text
 * @property {{number: number, count: number}} alternative which one of its alternatives is drawn, from 1
 */

/**
 * A part shown.
 * @typedef {object} ShownPart
 * @property {string} type
 * @property {ReturnType<typeof createPartView>} view
 * @property {boolean} failed whether its own view has thrown, and this is a `FallbackView`
 */

/**
 * Its element dispatches "dismiss" (`detail`: the id of a failed message), "retry" (`{message, mode}`),
 * "alternative" (`{id, number}`: the one to draw), and the "decide" of its approval cards.
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
  #alternatives = new AlternativesView((number) => this.#emit("alternative", { id: this.element.dataset.id, number }));
  /** @type {ShownPart[]} */
  #parts = [];
  #message;

  /** @param {object} message */
  constructor(message) {
    this.element = create("li", "message");
    this.element.dataset.testid = "message";
    this.element.dataset.id = message.id;
    this.element.dataset.role = message.role;
    const begun = begunNotice(message);
    const speaker = create("h2", begun ? "message-begun" : "visually-hidden");
    speaker.textContent = begun || (SPEAKERS[message.role] ?? message.role);
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
    this.element.append(this.#alternatives.element, this.#foot);
  }

  #retryButton(mode, label) {
    const button = create("button", "small-button");
    button.type = "button";
    button.textContent = label;
    button.dataset.testid = mode;
    button.addEventListener("click", () => this.#emit("retry", { message: responsesOf(this.#message).at(-1), mode }));
    return button;
  }

  /**
   * @param {object} message current state
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
      () => this.#alternatives.update(surroundings.alternative),
      () => this.#showTime(message),
      () => this.#showDelivery(message, surroundings),
    ]);
  }

  // A failing piece affects neither the others nor the rest of the conversation.
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

  #showAgain(message, { signalStatus, online, retryable }) {
    const responses = responsesOf(message);
    const retry = signalStatus.retry(responses);
    this.#again.hidden = responses.at(-1) !== retryable || Boolean(retry);
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
 * Update the view of a part, or create another one. A failed view may be half drawn and is never reused.
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
 * @returns {string} notice; empty if it completed
 */
export function noticeOf(message, signalStatus) {
  const stop = message.status === "cancelled" ? signalStatus.stop(message) : undefined;
  return answerNotice(message, stop ? signalStatus.isMine(stop.actor) : null);
}

/** @param {object} message @returns {string} its text parts, as Markdown */
export function textOf({ parts }) {
  return parts.filter(({ type }) => type === "text").map(({ text }) => text).join("\n\n");
}

// Growing text already shows that the agent is working.
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
