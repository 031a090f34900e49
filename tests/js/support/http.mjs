// HTTP over the network of network.mjs: the streams, polls and signals of PROTOCOL.md §2, answered by the model server.

const GATHER_MS = 100;
const PADDING = `: ${" ".repeat(2048)}\n\n`;

/** @param {import("./network.mjs").Network} network @returns {typeof fetch} */
export function httpFetch(network) {
  return (url, { body, headers, signal }) =>
    new Promise((resolve, reject) => {
      const request = Object.assign(new FakeRequest(network, url, JSON.parse(body), resolve, reject), { headers });
      network.requests.push(request);
      signal?.addEventListener("abort", () => request.end(new DOMException("aborted", "AbortError")));
    });
}

/** A request, and the server's end of its answer: a wire for the model server. */
class FakeRequest {
  frozen = false;
  isOpen = true;
  acknowledges = false;
  onframe = () => {};
  onclose = () => {};
  #network;
  #resolve;
  #reject;
  /** @type {ReadableStreamDefaultController|null} */
  #stream = null;
  #frames = [];
  #arrival = 0;

  constructor(network, url, body, resolve, reject) {
    Object.assign(this, { url, body, name: url.match(/(\w+)\/$/)[1] });
    this.#network = network;
    this.#resolve = resolve;
    this.#reject = reject;
    this.frozen = network.deadIdle > 0;
    if (this.frozen) network.deadIdle -= 1;
    network.clock.setTimeout(() => this.isOpen && !this.frozen && this.#arrive(), network.latency());
  }

  /** Break it off. The page learns why, the server that it is gone. */
  end(error) {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.onclose();
    this.#reject(error);
    this.#stream?.error(error);
  }

  cut() {
    if (!this.frozen) this.end(new TypeError("network error"));
  }

  /** The server ends its answer. */
  close() {
    this.#carry(() => {
      this.isOpen = false;
      this.onclose();
      this.#stream?.close();
    });
  }

  send(text) {
    if (this.name === "stream") this.#carry(() => this.#stream.enqueue(encode(`data: ${text}\n\n`)));
    else this.#frames.push(JSON.parse(text));
    if (this.name === "poll" && isNews(JSON.parse(text))) this.#answerIn(GATHER_MS);
    if (this.name === "signals" && JSON.parse(text).type !== "connected") this.#receipt();
  }

  #arrive() {
    const state = this.#network.stateOf(this.name);
    if (state === "refusing") this.end(new TypeError("Failed to fetch"));
    else if (typeof state === "number") this.#respond("<h1>Proxy</h1>", state);
    else if (state === "up") this.#serve();
  }

  #serve() {
    if (this.name === "stream") this.#begin();
    this.#network.accept(this);
    const session = this.url.match(/sessions\/([^/]+)/)?.[1];
    if (this.name === "signals") this.onframe(JSON.stringify({ type: "signal", session, ...this.body }));
    for (const frame of this.body.attach ?? []) this.onframe(JSON.stringify({ type: "attach", ...frame }));
    if (this.name === "poll") this.#answerIn(this.body.wait_ms);
  }

  #begin() {
    const body = new ReadableStream({ start: (stream) => (this.#stream = stream) });
    this.#stream.enqueue(encode(PADDING));
    this.#carry(() => this.#resolve(new Response(body, { headers: { "Content-Type": "text/event-stream" } })));
  }

  #answerIn(ms) {
    this.#network.clock.setTimeout(() => this.#answer(), ms);
  }

  #answer() {
    if (!this.isOpen || this.frozen || !this.#frames.length) return;
    if (!this.#frames.some(isNews)) this.onframe('{"type":"ping"}');
    this.#respond(JSON.stringify({ frames: this.#frames.splice(0) }), 200);
  }

  #receipt() {
    const { type, ...frame } = this.#frames.at(-1);
    const ok = type === "receipt" && frame.status === "accepted";
    this.#respond(JSON.stringify(type === "receipt" ? { type, ...frame } : frame), ok ? 200 : 409);
  }

  #respond(text, status) {
    this.#carry(() => {
      this.isOpen = false;
      this.onclose();
      this.#resolve(new Response(text, { status }));
    });
  }

  #carry(deliver) {
    const { clock, latency } = this.#network;
    this.#arrival = Math.max(this.#arrival, clock.now() + latency());
    clock.setTimeout(() => this.isOpen && !this.frozen && deliver(), this.#arrival - clock.now());
  }
}

function isNews({ type, resumed, messages, signals }) {
  return type === "attached" ? !resumed || messages.length + signals.length > 0 : type !== "connected" && type !== "heartbeat";
}

function encode(text) {
  return new TextEncoder().encode(text);
}
