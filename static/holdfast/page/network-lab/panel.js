// The network lab's drawer: breaks the network of this tab, and shows how the connection recovers.
import { stateName, transportName } from "../../connection-words.js";
import { addresses } from "../addresses.js";
import { restartServer } from "../api.js";
import { lab } from "./install.js";
import { noteCaughtUp, noteConnection, noteFault } from "./lab-log.js";

const ENTRIES = 200; // older ones are forgotten

const ONCE = {
  drop: { words: "The connection was dropped", act: () => lab.drop() },
  freeze: {
    words: "The connection was frozen",
    detail: "Nothing says so. Missed heartbeats will, or sooner a message that gets no receipt.",
    act: () => lab.freeze(),
  },
  restart: {
    words: "The server was asked to restart",
    detail: "As at a new release: it takes leave of everybody first.",
    act: () => restartServer(),
  },
};
const CONDITIONS = {
  offline: ["Gone offline", "Back online"],
  blockWebSocket: ["WebSockets are refused", "WebSockets are let through"],
  bufferStreaming: ["Streams are held back", "Streams are let through"],
  slow: ["The network is slow", "The network is fast again"],
};

class LabPanel {
  #panel = document.getElementById("lab");
  #opener = document.getElementById("lab-open");
  #log = document.getElementById("lab-log");
  #now = document.getElementById("lab-now");
  #holdfast = document.querySelector("holdfast-status").holdfast;
  #before = null;
  /** Sessions whose returns are noted. @type {WeakSet<object>} */
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
      condition.checked = false; // a browser may remember it over a reload, the lab doesn't
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
      this.#write(noteFault("That didn't work", error.message));
    }
  }

  #set(name, on) {
    this.#write(noteFault(CONDITIONS[name][on ? 0 : 1]));
    lab.set(name, on);
    // A browser that has lost its network says so.
    if (name === "offline") dispatchEvent(new Event(on ? "offline" : "online"));
  }

  #changed() {
    const { connection } = this.#holdfast;
    this.#watch();
    const entry = noteConnection(this.#before, connection, Date.now());
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
    while (this.#log.children.length > ENTRIES) this.#log.lastElementChild.remove();
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
