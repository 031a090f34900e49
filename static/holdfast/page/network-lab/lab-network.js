// A network that can be made bad by hand, between this page and its server: the lab's model of it, without the network.

// Chromium's preset of that name, without its factor for what else is on the line.
export const SLOW_DELAY_MS = 400;
export const SLOW_BYTES_PER_MS = 50;

/** @typedef {"offline"|"blockWebSocket"|"bufferStreaming"|"slow"} Condition */
/** @typedef {"websocket"|"stream"|"request"} Kind */
/** @typedef {"up"|"down"} Direction */

const systemClock = {
  now: () => Date.now(),
  setTimeout: (action, ms) => setTimeout(action, ms),
};

/** What holds for every connection through it, and all that are open. */
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
    // A device that loses its network isn't told of each connection's end.
    if (condition === "offline") this.freeze();
    if (condition === "blockWebSocket") this.drop("websocket");
    if (condition === "bufferStreaming") this.drop("stream");
  }

  /** End every open connection, or those of a kind, as a reset does. @param {Kind} [kind] */
  drop(kind) {
    for (const line of [...this.#lines]) if (kind === undefined || line.kind === kind) line.drop();
  }

  /** From now on nothing arrives over the connections that are open, and nothing says so. */
  freeze() {
    for (const line of this.#lines) line.freeze();
  }

  /** @param {Kind} kind @param {() => void} ondrop @returns {Line} for one connection; to be closed at its end */
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

/** One connection's way: all that it carries arrives in order, later on a slow network, and never once it is frozen. */
export class Line {
  #network;
  #clock;
  #ondrop;
  #frozen = false;
  /** Per direction, when the line is free for more and when the last piece arrives, ms. */
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
   * @param {() => void} arrive called when the piece has arrived; at once on a good line
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
    this.#frozen = true; // what is under way is lost
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
