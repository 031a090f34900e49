// Model of a network with faults on demand, between the page and its server.
import { systemClock } from "../../timers.js";

// Chromium's preset "Slow 3G", without its overhead factor.
export const SLOW_DELAY_MS = 400;
export const SLOW_BYTES_PER_MS = 50;

/** @typedef {"offline"|"blockWebSocket"|"bufferStreaming"|"slow"} Condition */
/** @typedef {"websocket"|"stream"|"request"} Kind */
/** @typedef {"up"|"down"} Direction */

/** The network: conditions for every connection through it, and the open ones. */
export class LabNetwork {
  #clock;
  #conditions = { offline: false, blockWebSocket: false, bufferStreaming: false, slow: false };
  /** @type {Set<Line>} */
  #lines = new Set();

  /** @param {typeof systemClock} [clock] */
  constructor(clock = systemClock) {
    this.#clock = clock;
  }

  /** @param {Condition} condition */
  is(condition) {
    return this.#conditions[condition];
  }

  /** @param {Condition} condition @param {boolean} on */
  set(condition, on) {
    this.#conditions[condition] = on;
    if (!on) return;
    // A device that loses its network is not told that its connections end.
    if (condition === "offline") this.freeze();
    if (condition === "blockWebSocket") this.drop("websocket");
    if (condition === "bufferStreaming") this.drop("stream");
  }

  /** Reset every open connection, or those of a kind. @param {Kind} [kind] */
  drop(kind) {
    for (const line of [...this.#lines]) if (kind === undefined || line.kind === kind) line.drop();
  }

  /** Freeze the open connections: nothing arrives any more, and nothing reports it. */
  freeze() {
    for (const line of this.#lines) line.freeze();
  }

  /** @param {Kind} kind @param {() => void} ondrop @returns {Line} of one connection; close it at the end */
  open(kind, ondrop) {
    const line = new Line(this, this.#clock, kind, ondrop);
    this.#lines.add(line);
    return line;
  }

  /** @param {Line} line */
  close(line) {
    this.#lines.delete(line);
  }
}

/** Line of one connection: data arrives in order, later on a slow network, never once frozen. */
export class Line {
  #network;
  #clock;
  #ondrop;
  #frozen = false;
  /** Per direction: when the line is free, and when the last data arrives, ms. */
  #free = { up: 0, down: 0 };
  #last = { up: 0, down: 0 };

  /** @param {LabNetwork} network @param {typeof systemClock} clock @param {Kind} kind @param {() => void} ondrop */
  constructor(network, clock, kind, ondrop) {
    this.#network = network;
    this.#clock = clock;
    this.kind = kind;
    this.#ondrop = ondrop;
  }

  /**
   * @param {Direction} direction
   * @param {number} bytes
   * @param {() => void} arrive called on arrival; at once on a good line
   */
  carry(direction, bytes, arrive) {
    const now = this.#clock.now();
    const at = Math.max(this.#arrival(direction, bytes, now), this.#last[direction]);
    this.#last[direction] = at;
    if (at <= now) this.#arrive(arrive);
    else this.#clock.setTimeout(() => this.#arrive(arrive), at - now);
  }

  drop() {
    this.close();
    this.#frozen = true; // data in flight is lost
    this.#ondrop();
  }

  freeze() {
    this.#frozen = true;
  }

  close() {
    this.#network.close(this);
  }

  #arrival(direction, bytes, now) {
    if (!this.#network.is("slow")) return now;
    this.#free[direction] = Math.max(now, this.#free[direction]) + bytes / SLOW_BYTES_PER_MS;
    return this.#free[direction] + SLOW_DELAY_MS;
  }

  #arrive(arrive) {
    if (!this.#frozen) arrive();
  }
}
