// The link: one transport that carries the frames, perhaps one beside it that is tried, and a change between them
// that nobody sees. What to use is transport-choice.js's; what was seen, and when, is found here.

import { orNull } from "./or-null.js";
import { choose, initialChoice } from "./transport-choice.js";
import { ABNORMAL } from "./network/socket.js";
import { Timers } from "./timers.js";

/** @typedef {import("./transport-choice.js").TransportName} TransportName */
/** @typedef {import("./network/socket.js").Transport} Transport */
/** @typedef {import("./protocol.js").Frame} Frame */

const MEMORY = "holdfast.transport";

export class TransportManager {
  /** A transport was greeted, and carries the frames from now on. @type {(frame: Frame, bytes: number) => void} */
  onopen = () => {};
  /** @type {(frame: Frame, bytes: number) => void} */
  onframe = () => {};
  /** All are lost, or could not be opened. @type {(code: number, generation: number) => void} */
  onclose = () => {};
  /** The reason has changed. @type {() => void} */
  onchange = () => {};
  #options;
  #timers;
  #choice;
  /** @type {Transport|null} */
  #used = null;
  /** @type {Transport|null} */
  #tried = null;
  #generation = 0;
  #background = false;

  /**
   * @param {object} options
   * @param {Partial<Record<TransportName, () => Transport>>} options.transports how to make each, the best first
   * @param {import("./timers.js").Clock} options.clock
   * @param {Storage|null} options.storage remembers what worked
   */
  constructor({ transports, clock, storage }) {
    this.#options = { transports, clock, storage };
    this.#timers = new Timers(clock);
    const available = /** @type {TransportName[]} */ (Object.keys(transports));
    this.#choice = initialChoice(available, readMemory(storage));
  }

  /** What carries the frames, why nothing better does, and since when, ms; null for what isn't so. */
  get status() {
    const { used, reason, since } = this.#choice;
    return { transport: used, transportReason: used && reason, transportSince: since };
  }

  /** @param {number} generation goes back with `onclose` */
  open(generation) {
    this.#generation = generation;
    this.#learn("attempt");
  }

  /** @param {Frame} frame @returns {boolean} false when it is lost */
  send(frame) {
    return this.#used?.send(frame) ?? false;
  }

  /** Says `onclose` when it is done. */
  close() {
    const last = this.#used ?? this.#tried;
    if (this.#tried !== last) this.#discard();
    this.#used = this.#tried = null;
    this.#learn("closed");
    last?.close();
  }

  /** What is used has died in silence, and may have left more behind that is dead. */
  flush() {
    this.#used?.flush();
  }

  /** @param {boolean} background whether nobody sees the page */
  setBackground(background) {
    this.#background = background;
    this.#used?.setBackground(background);
  }

  /** Something better may work now. */
  networkChanged() {
    this.#learn("network");
  }

  /** What is used may be dead: have another one ready. */
  doubt() {
    this.#learn("doubt");
  }

  /** @param {import("./transport-choice.js").TransportEvent["type"]} type @param {number} [code] */
  #learn(type, code = ABNORMAL) {
    const before = this.#choice;
    const { choice, effects } = choose(before, { type, code, now: this.#options.clock.now() });
    this.#choice = choice;
    for (const effect of effects) this.#perform(effect);
    if (choice.used === before.used && choice.reason !== before.reason) this.onchange();
  }

  /** @param {import("./transport-choice.js").ChoiceEffect} effect */
  #perform(effect) {
    if (effect.type === "try") this.#try(effect.name);
    else if (effect.type === "use") this.#use();
    else if (effect.type === "discard") this.#discard();
    else if (effect.type === "remember") writeMemory(this.#options.storage, effect.memory);
    else if (effect.type === "stopTimer") this.#timers.stop(effect.name);
    else if (effect.type === "startTimer") this.#startTimer(effect.name, effect.ms);
    else this.onclose(effect.code, this.#generation);
  }

  /** @param {"silent"|"upgrade"} name @param {number} ms */
  #startTimer(name, ms) {
    this.#timers.start(name, ms, () => this.#learn(name));
  }

  /** @param {TransportName} name */
  #try(name) {
    this.#discard();
    const transport = /** @type {() => Transport} */ (this.#options.transports[name])();
    const generation = this.#generation;
    let answered = false;
    transport.onframe = (frame, bytes) => {
      answered ||= frame.type === "error";
      if (transport === this.#tried) this.#first(frame, bytes);
      else if (transport === this.#used) this.onframe(frame, bytes);
    };
    transport.onclose = (code) => {
      if (transport === this.#tried) this.#learn(answered ? "answered" : "refused", code);
      else if (transport === this.#used) this.#learn("lost", code);
      else this.onclose(code, generation); // it was closed from here: somebody may wait for it
    };
    this.#tried = transport;
    transport.open();
  }

  /** A frame of the one that is tried. @param {Frame} frame @param {number} bytes */
  #first(frame, bytes) {
    const old = this.#used;
    if (frame.type === "connected") {
      this.#learn("greeted");
      // Sessions are attached to the new one before the old one ends. What the old one still says is dropped.
      this.onopen(frame, bytes);
      silence(old);
    } else if (!old) {
      this.onframe(frame, bytes); // why it won't be greeted
    }
  }

  #use() {
    this.#used = this.#tried;
    this.#tried = null;
    this.#used?.setBackground(this.#background);
  }

  #discard() {
    silence(this.#tried);
    this.#tried = null;
  }
}

/** @param {Transport|null} transport */
function silence(transport) {
  if (!transport) return;
  transport.onframe = transport.onclose = () => {};
  transport.close();
}

/** @param {Storage|null} storage @returns {import("./transport-choice.js").Memory|null} */
function readMemory(storage) {
  return orNull(() => JSON.parse(storage?.getItem(MEMORY) ?? "null"));
}

/** @param {Storage|null} storage @param {import("./transport-choice.js").Memory} memory */
function writeMemory(storage, memory) {
  orNull(() => storage?.setItem(MEMORY, JSON.stringify(memory))); // where it can't, the next page begins anew
}
