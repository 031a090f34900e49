// fetch through the lab's network.

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

// Statuses for which a Response cannot be constructed with a body, though Chromium's own have one.
const WITHOUT_BODY = [101, 204, 205, 304];

const lost = () => new TypeError("Failed to fetch");

/** A request and its answer. */
class LabExchange {
  #network;
  #signal;
  #line;
  #abort = new AbortController();
  /** Fails the request, or later the answer's body, when the line is lost. */
  #fail = (_error) => {};
  /** @type {Uint8Array[]} chunks held back by a buffering proxy */
  #held = [];

  /** @param {LabNetwork} network @param {AbortSignal|undefined} signal of the page */
  constructor(network, signal) {
    this.#network = network;
    this.#signal = signal;
    this.#line = network.open("request", () => this.#end(lost()));
    // An abort by the page takes effect at once.
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
    this.#line.freeze(); // chunks in flight have nowhere to arrive
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
