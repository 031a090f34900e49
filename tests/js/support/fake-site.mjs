// A site as a worker sees it, in this process: it gives one run, and keeps what is sent about it.

import { createServer } from "node:http";
import { once } from "node:events";

import { Worker } from "../../../agents_app/node/index.js";

export const LEASE_MS = 300;

/** What a site refuses with. */
export const refusal = (code, more) => ({ status: 400, body: { type: "error", code, message: `It is ${code}.`, retryable: false, ...more } });

/** A run's frame. `more`: what is different. */
export const run = (more) => ({
  type: "run", session: "s_1", run: "run_1", agent: "far", message: "m_1", mode: "answer", older: false,
  messages: [{ id: "m_0", role: "user", parts: [{ type: "text", text: "Hello" }] }],
  ...more,
});

export class FakeSite {
  /** @type {object[]} what it tells the worker next */
  news = [];
  chunks = [];
  batches = [];
  requests = [];
  claims = [];
  beats = 0;
  tokens = [];
  held = new Set();
  /** Called before anything else with (path, body): what it returns is the answer. */
  intercept = () => undefined;
  #server = createServer((request, response) => this.#answer(request, response));
  #woken = new Set();
  #changed = new Set();

  static async open() {
    const site = new FakeSite();
    site.#server.listen(0, "127.0.0.1");
    await once(site.#server, "listening");
    return site;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  /** Run agents until `during` has ended; then stop the worker, and expect its end. */
  async serve(agent, during, options = {}) {
    const worker = new Worker({ url: this.url, token: "token", name: "worker-1", drainMs: 1000, ...options }).agent("far", agent);
    const running = worker.run();
    running.catch(() => undefined);
    try {
      await during(worker, running);
    } finally {
      worker.stop();
      await running.catch(() => undefined);
      await this.close();
    }
  }

  close() {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(resolve));
  }

  /** Tell the worker something; it holds a run that it is told of. */
  tell(frame) {
    if (frame.type === "run") this.held.add(frame.run);
    this.news.push(frame);
    for (const wake of this.#woken) wake();
  }

  /** Wait until the condition holds; it is asked after each request. */
  async until(condition) {
    while (!condition()) await new Promise((resolve) => this.#changed.add(resolve));
  }

  get text() {
    return this.chunks.map(({ type, delta }) => (type === "text-delta" ? delta : "")).join("");
  }

  get end() {
    return this.chunks.find(({ type }) => ["finish", "abort", "error", "interrupt"].includes(type));
  }

  async #answer(request, response) {
    let text = "";
    for await (const piece of request) text += piece;
    const body = JSON.parse(text);
    this.tokens.push(request.headers.authorization);
    const { status = 200, body: answer, headers } = (await this.intercept(request.url, body)) ?? (await this.#result(request.url, body, response));
    response.writeHead(status, headers).end(answer === undefined ? "" : JSON.stringify(answer));
    for (const resolve of this.#changed) resolve();
    this.#changed.clear();
  }

  async #result(path, body, response) {
    if (path === "/api/beat/") {
      this.beats += 1;
      return { status: 204 };
    }
    if (path === "/api/work/claim/") return { body: { frames: await this.#claim(body, response) } };
    if (path === "/api/work/") {
      this.requests.push(body);
      return { body: { type: "answer", id: body.id, result: true } };
    }
    if (this.batches.some(({ sequence }) => sequence === body.sequence)) return { body: { type: "published", serial: 1 } };
    this.batches.push(body);
    this.chunks.push(...body.chunks);
    return { body: { type: "published", serial: 1 } };
  }

  async #claim(body, response) {
    this.claims.push(body);
    const answer = { type: "answer", id: body.id, result: { runs: body.runs.filter((id) => this.held.has(id)), lease_ms: LEASE_MS } };
    if (!this.news.length) {
      let wake;
      await new Promise((resolve) => {
        this.#woken.add((wake = resolve));
        setTimeout(resolve, body.wait_ms).unref();
        response.on("close", resolve);
      });
      this.#woken.delete(wake);
    }
    if (response.closed) return [answer]; // to no one
    return [answer, ...this.news.splice(0)];
  }
}
