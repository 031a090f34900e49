// Code that is loaded when it is needed: the HTTP transports and the database of unsent signals.

import assert from "node:assert/strict";
import { test } from "node:test";
import { LazyHttpTransport, loadHttp } from "../../static/holdfast/network/lazy-http.js";
import { systemClock } from "../../static/holdfast/timers.js";
import { Token } from "../../static/holdfast/token.js";

/** A transport over a network that leaves every request unanswered until it is aborted. */
function transportWithRequests() {
  const requests = [];
  const fetch = (url, { signal }) => {
    requests.push(url);
    return new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
  };
  const token = new Token(null, systemClock);
  const options = { api: "/api/", fetch, clock: systemClock, token, page: {}, holder: "me", attaches: () => [] };
  const transport = new LazyHttpTransport("stream", options);
  const closed = new Promise((resolve) => (transport.onclose = resolve));
  return { transport, requests, closed };
}

test("a transport is opened once its code is loaded", async () => {
  const { transport, requests, closed } = transportWithRequests();
  await transport.open();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(requests, ["/api/stream/"]);
  transport.close();
  assert.equal(await closed, 1000);
});

test("a transport that is closed before its code is loaded requests nothing, and says that it is closed", async () => {
  const { transport, requests, closed } = transportWithRequests();
  const opening = transport.open();
  transport.close();
  assert.equal(await closed, 1000);
  await opening;
  assert.deepEqual(requests, []);
});

test("a transport that is not loaded yet takes no frame", () => {
  const { transport } = transportWithRequests();
  assert.equal(transport.send({ type: "ping" }), false);
});

test("the code of the transports can be asked for again and again", async () => {
  assert.equal(await loadHttp(), await loadHttp());
});
