// A network with faults on demand: it refuses, hangs, cuts, freezes and delays, but keeps frames in order.

import { httpFetch } from "./http.mjs";

const [CONNECTING, OPEN, CLOSING, CLOSED] = [0, 1, 2, 3];

export class Network {
  /** @type {"up"|"refusing"|"hanging"} what a new connection meets */
  state = "up";
  /** How many connections that the browser keeps idle are dead: each next request takes one, and hangs. */
  deadIdle = 0;
  /** Called with the server's end of each new connection. */
  accept = () => {};
  /** What one kind of connection meets beside that: a state, or the HTTP status of something on the way. */
  blocks = {};
  /** @type {Wire[]} every connection that was ever opened */
  wires = [];
  /** Every HTTP request that was ever made, with its `name`, `body` and `isOpen`. */
  requests = [];

  /** @param {import("./clock.mjs").Clock} clock @param {() => number} latency ms, per frame */
  constructor(clock, latency = () => 1) {
    this.clock = clock;
    this.latency = latency;
    const network = this;
    this.WebSocket = class extends FakeWebSocket {
      constructor(url, protocols) {
        super(url, protocols, network);
      }
    };
  }

  /** Gives pages `fetch` too, without which they have WebSockets alone. */
  allowHttp() {
    this.fetch = httpFetch(this);
  }

  /** @param {"websocket"|"stream"|"poll"|"signals"} name */
  stateOf(name) {
    return this.state === "up" ? (this.blocks[name] ?? "up") : this.state;
  }

  get wire() {
    return this.wires.at(-1);
  }

  /** Cut every connection: both ends learn it. */
  cut() {
    for (const wire of [...this.wires, ...this.requests]) wire.cut();
  }

  /** Freeze every connection: neither end learns anything, ever. */
  freeze() {
    for (const wire of [...this.wires, ...this.requests]) wire.frozen = true;
  }
}

/** A connection, seen from the server. */
export class Wire {
  acknowledges = true;
  frozen = false;
  isOpen = true;
  onframe = () => {};
  onclose = () => {};
  #network;
  #socket;
  #arrivals = { client: 0, server: 0 };

  constructor(network, socket) {
    this.#network = network;
    this.#socket = socket;
  }

  send(text) {
    this.#carry("client", () => this.#socket.receive(text));
  }

  close(code) {
    this.#carry("client", () => this.#end(code));
  }

  cut() {
    if (!this.frozen) this.#end(1006);
  }

  /** The browser knows that the connection is lost, and tells the page much later. */
  vanish() {
    this.frozen = true;
    this.#socket.readyState = CLOSING;
  }

  /** @param {string} text from the client */
  toServer(text) {
    this.#carry("server", () => this.onframe(text));
  }

  closedByClient(code) {
    this.#carry("server", () => this.#end(code));
  }

  #carry(end, deliver) {
    const { clock, latency } = this.#network;
    const at = Math.max(this.#arrivals[end], clock.now() + latency());
    this.#arrivals[end] = at;
    clock.setTimeout(() => this.isOpen && !this.frozen && deliver(), at - clock.now());
  }

  #end(code) {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.onclose();
    this.#socket.ended(code);
  }
}

class FakeWebSocket {
  readyState = CONNECTING;
  onmessage = null;
  onclose = null;
  #network;
  #wire = null;

  constructor(url, protocols, network) {
    this.url = url;
    this.protocols = protocols;
    this.#network = network;
    network.clock.setTimeout(() => this.#open(), network.latency());
  }

  #open() {
    const state = this.#network.stateOf("websocket");
    if (this.readyState !== CONNECTING || state === "hanging") return;
    if (state === "refusing") return this.ended(1006);
    this.readyState = OPEN;
    this.#wire = new Wire(this.#network, this);
    this.#wire.protocols = this.protocols;
    this.#network.wires.push(this.#wire);
    this.#network.accept(this.#wire);
  }

  send(text) {
    this.#wire.toServer(text);
  }

  close(code) {
    if (this.#wire) this.#wire.closedByClient(code);
    else this.ended(1006);
  }

  receive(text) {
    this.onmessage?.({ data: text });
  }

  ended(code) {
    if (this.readyState === CLOSED) return;
    this.readyState = CLOSED;
    this.onclose?.({ code });
  }
}
