// One message: its parts, how it stands in words, and what can be done with it.
import { copyButton } from "./copy-button.js";
import { icon } from "./icon.js";
import { createPartView } from "./parts.js";
import { answerNotice, deliveryNotice } from "./wording.js";

const DELIVERY_ICONS = { waiting: "clock", sending: "clock", failed: "alert" };
const SPEAKERS = { user: "You", assistant: "Assistant", system: "Note" };

/** Its element dispatches "dismiss", with the message's id, when the person is done with one that wasn't sent. */
export class MessageView {
  #body = create("div", "message-body");
  #working = create("p", "working");
  #notice = create("p", "message-notice");
  #foot = create("div", "message-foot");
  #delivery = create("span", "delivery");
  #dismiss = create("button", "quiet-button");
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
    this.#working.textContent = "Working…";
    this.#notice.dataset.testid = "message-notice";
    this.#delivery.dataset.testid = "delivery";
    const copy = copyButton("Copy message", () => textOf(this.#message));
    this.#dismiss.type = "button";
    this.#dismiss.textContent = "Remove";
    this.#dismiss.addEventListener("click", () => this.#tellDismissed());
    this.#foot.append(copy, timeOf(message.created_at), this.#delivery, this.#dismiss);
    this.element.append(speaker, this.#body, this.#working, this.#notice, this.#foot);
  }

  /**
   * @param {object} message as the client holds it now
   * @param {boolean} online whether what waits can leave at once
   */
  update(message, online) {
    this.#message = message;
    const streaming = message.status === "streaming";
    this.element.dataset.status = message.status;
    this.element.setAttribute("aria-busy", String(streaming));
    this.#showParts(message, !streaming);
    this.#working.hidden = !streaming || writesNow(message.parts.at(-1));
    this.#showNotice(message);
    this.#showDelivery(message, online);
    this.#foot.hidden = streaming;
  }

  #showParts({ parts, role, open }, ended) {
    const context = { ended, tools: open?.tools ?? {} };
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

  #showNotice(message) {
    const text = message.role === "assistant" ? answerNotice(message) : "";
    this.#notice.hidden = text === "";
    if (this.#notice.textContent !== text) this.#notice.textContent = text;
  }

  #showDelivery(message, online) {
    this.#dismiss.hidden = message.role !== "user" || message.status !== "failed";
    if (message.role !== "user") return;
    const text = deliveryNotice(message, online);
    if (this.#delivery.textContent === text) return;
    this.#delivery.replaceChildren(icon(DELIVERY_ICONS[message.status] ?? "check"), text);
  }

  #tellDismissed() {
    this.element.dispatchEvent(new CustomEvent("dismiss", { bubbles: true, detail: this.#message.id }));
  }
}

/** @param {object} message @returns {string} its text parts, as Markdown */
export function textOf({ parts }) {
  return parts.filter(({ type }) => type === "text").map(({ text }) => text).join("\n\n");
}

// Text that grows shows by itself that the agent works.
function writesNow(part) {
  return part?.type === "text" && part.state === "streaming" && part.text !== "";
}

function timeOf(createdAt) {
  const time = create("time", "");
  const date = new Date(createdAt ?? Date.now());
  time.dateTime = date.toISOString();
  time.title = date.toLocaleString([], { dateStyle: "full", timeStyle: "short" });
  time.textContent = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return time;
}

function create(tag, className) {
  const element = document.createElement(tag);
  element.className = className;
  return element;
}
