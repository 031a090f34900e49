// The transport manager: the transport in use, the one being tried beside it, and a seamless change between them.
// transport-choice.js decides; this file executes its effects and reports events to it.

import { orNull } from "./or-null.js";
import { choose, initialChoice } from "./transport-choice.js";
import { ABNORMAL } from "./network/socket.js";
import { Timers } from "./timers.js";

/** @typedef {import("./transport-choice.js").TransportName} TransportName */
/** @typedef {import("./network/socket.js").Transport} Transport */
/** @typedef {import("./protocol.js").Frame} Frame */

const MEMORY = "holdfast.transport";

export class TransportManager {
  /** A transport is connected, and in use from now on. @type {(frame: Frame, bytes: number) => void} */
  onopen = () => {};
  /** @type {(frame: Frame, bytes: number) => void} */
  onframe = () => {};
  /** Every transport is lost, or could not be opened. @type {(code: number, generation: number) => void} */
  onclose = () => {};
  /** `status.transportReason` has changed. @type {() => void} */
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
   * @param {Partial<Record<TransportName, () => Transport>>} options.transports factories, best first
   * @param {import("./timers.js").Clock} options.clock
   * @param {Storage|null} options.storage remembers the transport that worked
   */
  constructor({ transports, clock, storage }) {
    this.#options = { transports, clock, storage };
    this.#timers = new Timers(clock);
    const available = /** @type {TransportName[]} */ (Object.keys(transports));
    this.#choice = initialChoice(available, readMemory(storage));
  }

  /** Transport in use, reason why no better one is, and start of use (ms); null where there is none. */
  get status() {
    const { used, reason, since } = this.#choice;
    return { transport: used, transportReason: used && reason, transportSince: since };
  }

  /** @param {number} generation passed back with `onclose` */
  open(generation) {
    this.#generation = generation;
    this.#report("attempt");
  }

  /** @param {Frame} frame @returns {boolean} false when it is lost */
  send(frame) {
    return this.#used?.send(frame) ?? false;
  }

  /** Close the transport in use; `onclose` follows. */
  close() {
    const last = this.#used ?? this.#tried;
    if (this.#tried !== last) this.#discard();
    this.#used = this.#tried = null;
    this.#report("closed");
    last?.close();
  }

  /** The transport in use went silent: drop idle connections, which may be dead too. */
  flush() {
    this.#used?.flush();
  }

  /** @param {boolean} background whether the page is hidden */
  setBackground(background) {
    this.#background = background;
    this.#used?.setBackground(background);
  }

  /** Try better transports again: the network may have changed. */
  networkChanged() {
    this.#report("network");
  }

  /** Prepare a replacement: the transport in use may be dead. */
  doubt() {
    this.#report("doubt");
  }

  /** @param {import("./transport-choice.js").TransportEvent["type"]} type @param {number} [code] */
  #report(type, code = ABNORMAL) {
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
    this.#timers.start(name, ms, () => this.#report(name));
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
      if (transport === this.#tried) this.#report(answered ? "answered" : "refused", code);
      else if (transport === this.#used) this.#report("lost", code);
      else this.onclose(code, generation); // closed by this client, which may wait for it
    };
    this.#tried = transport;
    transport.open();
  }

  /** Handle the first frame of the transport being tried. @param {Frame} frame @param {number} bytes */
  #first(frame, bytes) {
    const old = this.#used;
    if (frame.type === "connected") {
      this.#report("greeted");
      // Attach sessions to the new transport before the old one ends. Later frames of the old one are dropped.
      this.onopen(frame, bytes);
      silence(old);
    } else if (!old) {
      this.onframe(frame, bytes); // the reason why it is refused
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
  orNull(() => storage?.setItem(MEMORY, JSON.stringify(memory))); // without storage, the next page starts from scratch
}
