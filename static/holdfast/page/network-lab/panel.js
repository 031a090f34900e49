// Panel of the network lab: breaks the network of this tab and logs how the connection recovers.
import { stateName, transportName } from "../../connection-words.js";
import { seeCookies } from "../../cookies.js";
import { systemClock } from "../../timers.js";
import { addresses } from "../addresses.js";
import { restartServer } from "../api.js";
import { lab } from "./install.js";
import { noteCaughtUp, noteConnection, noteFault } from "./lab-log.js";

const MAX_ENTRIES = 200; // older ones are removed

const ONCE = {
  drop: { words: "Connection dropped", act: () => lab.drop() },
  freeze: {
    words: "Connection frozen",
    detail: "Nothing reports it. Missed heartbeats reveal it, or sooner a message without a receipt.",
    act: () => lab.freeze(),
  },
  restart: {
    words: "Server restart requested",
    detail: "As for a new release: the server announces it to every client first.",
    act: () => restartServer(),
  },
};
const CONDITIONS = {
  offline: ["Offline", "Back online"],
  blockWebSocket: ["WebSockets blocked", "WebSockets allowed"],
  bufferStreaming: ["Streams buffered", "Streams passed through"],
  slow: ["Network slow", "Network normal"],
};

class LabPanel {
  #panel = document.getElementById("lab");
  #opener = document.getElementById("lab-open");
  #log = document.getElementById("lab-log");
  #now = document.getElementById("lab-now");
  #holdfast = document.querySelector("holdfast-status").holdfast;
  #before = null;
  /** Sessions whose catch-ups are logged. @type {WeakSet<object>} */
  #watched = new WeakSet();

  start() {
    this.#opener.addEventListener("click", () => this.#open(this.#panel.hidden));
    document.getElementById("lab-close").addEventListener("click", () => this.#close());
    document.getElementById("lab-clear").addEventListener("click", () => this.#log.replaceChildren());
    this.#panel.addEventListener("keydown", (event) => event.key === "Escape" && this.#close());
    for (const button of this.#panel.querySelectorAll("[data-once]")) {
      button.addEventListener("click", () => this.#once(button.dataset.once));
    }
    for (const condition of this.#panel.querySelectorAll("[data-condition]")) {
      condition.checked = false; // browsers may restore it after a reload, the lab does not
      condition.addEventListener("change", () => this.#set(condition.dataset.condition, condition.checked));
    }
    this.#holdfast.addEventListener("connection", () => this.#changed());
    this.#changed();
  }

  #open(open) {
    this.#panel.hidden = !open;
    this.#opener.setAttribute("aria-expanded", String(open));
    if (open) document.getElementById("lab-heading").focus();
  }

  #close() {
    this.#open(false);
    this.#opener.focus();
  }

  async #once(name) {
    const { words, detail, act } = ONCE[name];
    this.#write(noteFault(words, detail));
    try {
      await act();
    } catch (error) {
      this.#write(noteFault("Failed", error.message));
    }
  }

  #set(name, on) {
    this.#write(noteFault(CONDITIONS[name][on ? 0 : 1]));
    lab.set(name, on);
    // A browser reports a lost network by an event.
    if (name === "offline") dispatchEvent(new Event(on ? "offline" : "online"));
  }

  #changed() {
    const { reason, ...state } = this.#holdfast.connection;
    const connection = { ...state, reason: seeCookies(reason, window) };
    this.#watch();
    const entry = noteConnection(this.#before, connection, systemClock.now());
    this.#before = connection;
    const over = connection.state === "connected" ? ` over ${transportName(connection.transport)}` : "";
    this.#now.textContent = stateName(connection.state) + over;
    this.#now.dataset.kind = connection.state;
    if (entry) this.#write(entry);
  }

  #watch() {
    const id = addresses.sessionIdOf(location.pathname);
    if (id === null) return;
    const session = this.#holdfast.session(id);
    if (this.#watched.has(session)) return;
    this.#watched.add(session);
    session.addEventListener("caught-up", ({ detail }) => this.#write(noteCaughtUp(detail)));
  }

  #write({ kind, title, detail }) {
    const entry = create("li", "lab-entry");
    entry.dataset.kind = kind;
    entry.append(timeOf(new Date()), create("span", "lab-title", title));
    if (detail) entry.append(create("span", "lab-detail", detail));
    this.#log.prepend(entry);
    while (this.#log.children.length > MAX_ENTRIES) this.#log.lastElementChild.remove();
  }
}

function timeOf(date) {
  const time = create("time", "lab-time", date.toLocaleTimeString("en-GB"));
  time.append(create("span", "lab-ms", `.${String(date.getMilliseconds()).padStart(3, "0")}`));
  time.dateTime = date.toISOString();
  return time;
}

function create(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

new LabPanel().start();
