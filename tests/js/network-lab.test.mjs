// The network lab's WebSocket and fetch: dropped, frozen, slow and buffered connections.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";

import { labFetch } from "../../static/holdfast/page/network-lab/lab-fetch.js";
import { noteCaughtUp, noteConnection } from "../../static/holdfast/page/network-lab/lab-log.js";
import { LabNetwork, SLOW_BYTES_PER_MS, SLOW_DELAY_MS } from "../../static/holdfast/page/network-lab/lab-network.js";
import { labWebSocket } from "../../static/holdfast/page/network-lab/lab-socket.js";
import { Clock } from "./support/clock.mjs";

/** The far end of a WebSocket: what a server does with it, and what has come to it. */
class FarSocket {
  static all = [];
  readyState = 1;
  sent = [];
  closed = false;

  constructor(url) {
    this.url = url;
    FarSocket.all.push(this);
  }

  send(data) {
    this.sent.push(data);
  }

  close() {
    this.closed = true;
  }
}

function socketWorld() {
  const clock = new Clock();
  const lab = new LabNetwork(clock);
  const LabSocket = labWebSocket(lab, FarSocket);
  const events = [];
  const open = () => {
    const socket = new LabSocket("ws://server/");
    for (const type of ["open", "message", "close"]) {
      socket[`on${type}`] = ({ data = [], code = data }) => events.push([type].concat(code));
    }
    return socket;
  };
  const connected = () => {
    const socket = open();
    const far = FarSocket.all.at(-1);
    far.onopen();
    return { socket, far };
  };
  return { clock, lab, events, open, connected };
}

test("a good network carries frames both ways at once", () => {
  const { events, connected } = socketWorld();
  const { socket, far } = connected();
  socket.send("up");
  far.onmessage({ data: "down" });
  far.onclose({ code: 4401, reason: "", wasClean: true });
  assert.deepEqual(far.sent, ["up"]);
  assert.deepEqual(events, [["open"], ["message", "down"], ["close", 4401]]);
  assert.equal(socket.readyState, 3);
});

test("a dropped socket closes abnormally, once, and the server's end with it", () => {
  const { lab, events, connected } = socketWorld();
  const { socket, far } = connected();
  lab.drop();
  lab.drop();
  far.onmessage({ data: "too late" });
  far.onclose({ code: 1000, reason: "", wasClean: true });
  socket.send("lost");
  assert.deepEqual(events, [["open"], ["close", 1006]]);
  assert.deepEqual([far.sent, far.closed], [[], true]);
});

test("a frozen socket seems open, and nothing passes; a new one is fine", () => {
  const { lab, events, connected } = socketWorld();
  const { socket, far } = connected();
  lab.freeze();
  socket.send("lost");
  far.onmessage({ data: "lost" });
  far.onclose({ code: 1000, reason: "", wasClean: true });
  assert.deepEqual([far.sent, events, socket.readyState], [[], [["open"]], 1]);
  connected().far.onmessage({ data: "fine" });
  assert.deepEqual(events.at(-1), ["message", "fine"]);
});

test("while WebSockets are blocked, open ones end and new ones are refused", async () => {
  const { lab, events, open, connected } = socketWorld();
  connected();
  lab.set("blockWebSocket", true);
  assert.deepEqual(events, [["open"], ["close", 1006]]);
  const before = FarSocket.all.length;
  const refused = open();
  assert.equal(refused.readyState, 0);
  await new Promise((resolve) => refused.addEventListener("close", resolve));
  assert.deepEqual([events.at(-1), FarSocket.all.length], [["close", 1006], before]);
  lab.set("blockWebSocket", false);
  connected();
  assert.deepEqual(events.at(-1), ["open"]);
});

test("offline, what is open freezes and what is new fails", async () => {
  const { lab, events, open, connected } = socketWorld();
  connected();
  lab.set("offline", true);
  assert.deepEqual(events, [["open"]]);
  const refused = open();
  await new Promise((resolve) => refused.addEventListener("close", resolve));
  await assert.rejects(labFetch(lab, fetch)("/api/sessions/"), TypeError);
});

test("a slow network delays by its length and width, and keeps the order also when it becomes fast again", () => {
  const { clock, lab, events, connected } = socketWorld();
  const { far } = connected();
  lab.set("slow", true);
  const ms = 1000;
  far.onmessage({ data: "x".repeat(ms * SLOW_BYTES_PER_MS) });
  far.onmessage({ data: "second" });
  lab.set("slow", false);
  far.onmessage({ data: "third" });
  clock.advance(SLOW_DELAY_MS + ms - 1);
  assert.equal(events.length, 1);
  clock.advance(2);
  assert.deepEqual(events.slice(2), [["message", "second"], ["message", "third"]]);
  far.onmessage({ data: "fourth" });
  assert.deepEqual(events.at(-1), ["message", "fourth"]);
});

/** A server whose answers the test writes: `answer` gives the response's body piece by piece. */
function fetchWorld(type = "text/event-stream") {
  const lab = new LabNetwork();
  const server = { requests: [], body: null, aborted: false };
  const far = async (path, init) => {
    server.requests.push(path);
    init.signal.addEventListener("abort", () => (server.aborted = true));
    const body = new ReadableStream({ start: (controller) => (server.body = controller) });
    return new Response(body, { headers: { "Content-Type": type } });
  };
  const write = (text) => server.body.enqueue(new TextEncoder().encode(text));
  return { lab, server, write, fetch: labFetch(lab, far) };
}

/** Reads a response as far as it comes. */
function reading(response) {
  const result = { text: "", ended: null };
  const decoder = new TextDecoder();
  (async () => {
    for await (const piece of response.body) result.text += decoder.decode(piece);
  })().then(
    () => (result.ended = "done"),
    (error) => (result.ended = error.name),
  );
  return result;
}

async function settle() {
  for (let turn = 0; turn < 20; turn += 1) await setImmediate();
}

test("a good network carries an answer as it is written", async () => {
  const { server, write, fetch } = fetchWorld();
  const response = await fetch("/api/stream/", {});
  const read = reading(response);
  write("one");
  await settle();
  assert.deepEqual([response.status, read.text], [200, "one"]);
  server.body.close();
  await settle();
  assert.equal(read.ended, "done");
});

test("a dropped stream fails, and the server's end with it", async () => {
  const { lab, server, write, fetch } = fetchWorld();
  const read = reading(await fetch("/api/stream/", {}));
  write("one");
  await settle();
  lab.drop();
  await settle();
  assert.deepEqual([read, server.aborted], [{ text: "one", ended: "TypeError" }, true]);
});

test("a dropped request fails before it is answered", async () => {
  const lab = new LabNetwork();
  const asked = labFetch(lab, () => new Promise(() => {}))("/api/poll/", { body: "{}" });
  lab.drop();
  await assert.rejects(asked, TypeError);
});

test("a frozen stream delivers nothing more, and aborting it takes effect at once", async () => {
  const { lab, server, write, fetch } = fetchWorld();
  const abort = new AbortController();
  const read = reading(await fetch("/api/stream/", { signal: abort.signal }));
  lab.freeze();
  write("lost");
  server.body.close();
  await settle();
  assert.deepEqual(read, { text: "", ended: null });
  abort.abort();
  await settle();
  assert.deepEqual([read.ended, server.aborted], ["AbortError", true]);
});

test("a proxy that buffers lets a stream through at its end, and other answers as ever", async () => {
  const { lab, server, write, fetch } = fetchWorld();
  lab.set("bufferStreaming", true);
  const read = reading(await fetch("/api/stream/", {}));
  write("one ");
  write("two");
  await settle();
  assert.equal(read.text, "");
  server.body.close();
  await settle();
  assert.deepEqual(read, { text: "one two", ended: "done" });
  const other = fetchWorld("application/json");
  other.lab.set("bufferStreaming", true);
  const polled = reading(await other.fetch("/api/poll/", {}));
  other.write("{}");
  await settle();
  assert.equal(polled.text, "{}");
});

test("an answer without a body comes as it is", async () => {
  const answer = { status: 204, body: new ReadableStream() }; // as Chromium has it
  assert.equal(await labFetch(new LabNetwork(), async () => answer)("/lab/restart/"), answer);
});

test("a request aborted before its start is never sent", async () => {
  const { server, fetch } = fetchWorld();
  await assert.rejects(fetch("/api/stream/", { signal: AbortSignal.abort() }), { name: "AbortError" });
  assert.deepEqual(server.requests, []);
});

const T = 1_795_420_000_000;
const NOTHING = { transport: null, transportReason: null, reason: null, retryAt: null, lostAt: null, since: T };
const GOOD = { ...NOTHING, state: "connected", transport: "websocket" };
const LOST = { ...NOTHING, state: "connecting", reason: { message: "Closed." }, lostAt: T - 46 };

test("the log has an entry for each visible change, with its reason", () => {
  assert.deepEqual(noteConnection(null, GOOD, T), { kind: "connected", title: "Connected over WebSocket", detail: "" });
  assert.equal(noteConnection(GOOD, { ...GOOD, lastGoodAt: T }, T), null);
  assert.deepEqual(noteConnection(GOOD, LOST, T), { kind: "connecting", title: "Connecting", detail: "Closed." });
  assert.equal(noteConnection(LOST, { ...LOST }, T), null);
  assert.equal(noteConnection(LOST, GOOD, T).detail, "After 46 ms.");
  const waiting = { ...LOST, state: "disconnected", retryAt: T + 1_500 };
  assert.equal(noteConnection(LOST, waiting, T).detail, "Closed. Next retry in 1.5 s.");
});

test("the log names the new transport, and why no better one is used", () => {
  const streaming = { ...GOOD, transport: "stream", transportReason: { code: "websocket_refused", message: "" } };
  const { title, detail } = noteConnection(GOOD, streaming, T);
  assert.equal(title, "Connected over HTTP streaming");
  assert.match(detail, /blocks WebSockets/);
});

test("the log counts the events of a catch-up", () => {
  assert.equal(noteCaughtUp({ events: 0, ms: 3 }).detail, "Nothing missed.");
  assert.equal(noteCaughtUp({ events: 1, ms: 3 }).detail, "1 event missed.");
  assert.deepEqual(noteCaughtUp({ events: 1284, ms: 40.4 }), {
    kind: "caught-up",
    title: "Caught up in 40 ms",
    detail: "1,284 events missed.",
  });
});
