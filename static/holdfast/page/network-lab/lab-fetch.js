// A fetch whose requests and answers go through the lab's network.

/** @typedef {import("./lab-network.js").LabNetwork} LabNetwork */

/**
 * @param {LabNetwork} network
 * @param {typeof fetch} fetch
 * @returns {typeof fetch}
 */
export function labFetch(network, fetch) {
  return (input, init = {}) => {
    if (network.is("offline")) return Promise.reject(lost());
    const exchange = new LabExchange(network, init.signal);
    const ask = (signal) => fetch(input, { ...init, signal });
    return new Promise((resolve, reject) => exchange.begin(ask, init.body?.length ?? 0, resolve, reject));
  };
}

// Of these statuses a response can't be made with a body, though Chromium's own have one.
const WITHOUT_BODY = [101, 204, 205, 304];

const lost = () => new TypeError("Failed to fetch");

/** One request and its answer. */
class LabExchange {
  #network;
  #signal;
  #line;
  #abort = new AbortController();
  /** What a lost line fails: the request, and later the answer's body. */
  #fail = (_error) => {};
  /** @type {Uint8Array[]} what a proxy that buffers holds back */
  #held = [];

  /** @param {LabNetwork} network @param {AbortSignal|undefined} signal the page's */
  constructor(network, signal) {
    this.#network = network;
    this.#signal = signal;
    this.#line = network.open("request", () => this.#end(lost()));
    // Giving up is the page's own doing: no line can delay it.
    signal?.addEventListener("abort", () => this.#end(signal.reason));
  }

  /** @param {(signal: AbortSignal) => Promise<Response>} ask @param {number} bytes of the request */
  begin(ask, bytes, resolve, reject) {
    this.#fail = reject;
    if (this.#signal?.aborted) return this.#end(this.#signal.reason);
    const down = (arrive) => this.#line.carry("down", 0, arrive);
    this.#line.carry("up", bytes, () => {
      ask(this.#abort.signal).then(
        (response) => down(() => resolve(this.#answer(response))),
        (error) => down(() => this.#end(error)),
      );
    });
  }

  #end(error) {
    this.#line.close();
    this.#line.freeze(); // what is under way has nowhere to arrive
    this.#abort.abort();
    this.#fail(error);
  }

  #answer(response) {
    if (!response.body || WITHOUT_BODY.includes(response.status)) {
      this.#line.close();
      return response;
    }
    if (response.headers.get("Content-Type")?.startsWith("text/event-stream")) this.#line.kind = "stream";
    const body = new ReadableStream({
      start: (controller) => this.#pass(response.body.getReader(), controller),
      cancel: () => this.#end(lost()),
    });
    const { status, statusText, headers } = response;
    return new Response(body, { status, statusText, headers });
  }

  #pass(reader, controller) {
    this.#fail = (error) => controller.error(error);
    const down = (bytes, arrive) => this.#line.carry("down", bytes, arrive);
    const read = () => reader.read().then(pass, (error) => down(0, () => this.#end(error)));
    const pass = ({ done, value }) => {
      if (!done) this.#held.push(value);
      if (done || !this.#isBuffered()) {
        for (const piece of this.#held.splice(0)) down(piece.length, () => controller.enqueue(piece));
      }
      if (!done) return read();
      down(0, () => {
        this.#line.close();
        controller.close();
      });
    };
    read();
  }

  #isBuffered() {
    return this.#line.kind === "stream" && this.#network.is("bufferStreaming");
  }
}
