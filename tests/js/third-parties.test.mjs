// What other clients are built on: ids and parts of messages, streams of chunks, snapshots, history, counted sessions.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import "../../static/holdfast/chunks.js"; // loaded when it is needed; on the test clock, that must take no time
import "../../static/holdfast/older.js";
import "../../static/holdfast/network/rest.js";
import { fold } from "../../static/holdfast/fold.js";
import { FINISH, SESSION, answer, begin, delta, following, openPage, plain, record, shown, world } from "./support/world.mjs";

const ID = "chosen-by-the-caller";
const turn = (text, id = ID) => ({ id, parts: [{ type: "text", text }] });
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("a message with an id and parts of the caller's", () => {
  test("has this id in the session, and its metadata while it is unsent", async () => {
    const { clock, network, server, session } = following();
    network.freeze();
    const sent = session.send({ ...turn("Hello"), metadata: { from: "a form" } });
    assert.deepEqual(session.messages.map(({ id, metadata }) => [id, metadata]), [[ID, { from: "a form" }]]);
    network.cut();
    clock.advance(60_000);
    assert.equal((await sent).id, ID);
    const [signal] = server.received.filter(({ type }) => type === "signal");
    assert.deepEqual(signal.payload, { parts: [{ type: "text", text: "Hello" }], metadata: { from: "a form" } });
    assert.deepEqual(server.messages(SESSION).map(({ id }) => id), [ID]);
  });

  test("counts once, however often it is sent", async () => {
    const { clock, server, session } = following();
    const sent = [session.send(turn("Hello")), session.send(turn("Hello"))];
    clock.advance(10);
    const again = session.send(turn("Hello"));
    clock.advance(10);
    const serials = (await Promise.all([...sent, again])).map(({ serial }) => serial);
    assert.deepEqual(serials, [1, 1, 1]);
    assert.deepEqual(shown(session), ["complete: Hello"]);
    assert.equal(server.messages(SESSION).length, 1);
  });

  test("is sent again after a refusal", async () => {
    const { clock, server, session } = following();
    server.judge = () => ({ code: "busy", message: "Not now", retryable: false });
    const refused = session.send(turn("Hello"));
    clock.advance(10);
    await assert.rejects(refused, { code: "busy" });
    server.judge = () => null;
    const sent = session.send(turn("Hello"));
    clock.advance(10);
    assert.equal((await sent).status, "accepted");
    assert.deepEqual(shown(session), ["complete: Hello"]);
  });

  test("is refused at once with an id that the server would refuse", async () => {
    const { session } = following();
    for (const id of ["short", "with spaces in it", "x".repeat(65), ""]) {
      await assert.rejects(session.send(turn("Hello", id)), { code: "bad_signal" }, id);
    }
    assert.deepEqual(session.messages, []);
  });
});

test("the revision of an own message grows from unsent to stored", () => {
  const { clock, session } = following();
  const seen = [];
  session.addEventListener("change", () => seen.push(...session.messages.map(({ status, revision }) => [status, revision])));
  session.send("Hello");
  clock.advance(10);
  const statuses = [...new Set(seen.map(([status]) => status))];
  assert.deepEqual(statuses, ["waiting", "sending", "complete"]);
  for (let index = 1; index < seen.length; index += 1) {
    const [[before, earlier], [after, later]] = seen.slice(index - 1, index + 1);
    assert.ok(later > earlier || (before === after && later === earlier), JSON.stringify(seen));
  }
});

/** Collect chunks as they come. */
function collect(chunks) {
  const got = { chunks: [], error: null, done: false };
  (async () => {
    try {
      for await (const chunk of chunks) got.chunks.push(structuredClone(chunk));
    } catch (error) {
      got.error = error;
    }
    got.done = true;
  })();
  return got;
}

function folded(chunks, id = "m_1") {
  const messages = new Map();
  chunks.forEach((chunk, index) => fold(messages, { serial: index + 1, message: id, chunk, at: 0 }));
  return messages.get(id);
}

function assertFoldsTo(got, message) {
  const { parts, status, reason, metadata } = plain(folded(got.chunks));
  assert.deepEqual({ parts, status, reason, metadata }, {
    parts: plain(message.parts),
    status: message.status,
    reason: message.reason,
    metadata: message.metadata,
  });
}

describe("the chunks of a message", () => {
  test("come as they were published, from the middle of a word on", async () => {
    const { clock, server, session } = following();
    server.publish(SESSION, "m_1", ...begin("m_1"), delta("Hel"));
    clock.advance(10);
    const got = collect(session.chunks("m_1"));
    await settled();
    assert.deepEqual(got.chunks, [...begin("m_1"), delta("Hel")]);
    server.publish(SESSION, "m_1", delta("lo"), { type: "data-note", data: 1, transient: true });
    server.publish(SESSION, "m_1", ...FINISH);
    clock.advance(10);
    await settled();
    assert.deepEqual(got.chunks.slice(3), [delta("lo"), { type: "data-note", data: 1, transient: true }, ...FINISH]);
    assert.equal(got.done, true);
    assertFoldsTo(got, session.messages[0]);
  });

  test("of one that has still to begin come from its beginning", async () => {
    const { clock, server, session } = following();
    const got = collect(session.chunks("m_1"));
    await settled();
    server.publish(SESSION, "m_1", ...answer("m_1", "Hello"));
    clock.advance(10);
    await settled();
    assert.deepEqual(got.chunks, answer("m_1", "Hello"));
  });

  test("of an ended one are a replay, also of an interrupted one", async () => {
    const { clock, server, session } = following();
    server.publish(SESSION, "m_1", ...begin("m_1"), delta("Hel"), { type: "interrupt", reason: "The agent died" });
    clock.advance(10);
    const got = collect(session.chunks("m_1"));
    await settled();
    assert.equal(got.done, true);
    assertFoldsTo(got, session.messages[0]);
  });

  test("go on after an absence with what was missed, once", async () => {
    const { clock, network, server, session } = following();
    server.publish(SESSION, "m_1", ...begin("m_1"), delta("one "));
    clock.advance(10);
    const got = collect(session.chunks("m_1"));
    await settled();
    network.cut();
    const call = { toolCallId: "c", toolName: "search" };
    const tool = [{ type: "tool-input-available", ...call, input: {} }, { type: "tool-output-available", toolCallId: "c", output: 1 }];
    server.publish(SESSION, "m_1", delta("two "), { type: "text-end", id: "t1" }, ...tool);
    server.publish(SESSION, "m_1", { type: "text-start", id: "t1" }, delta("three "));
    clock.advance(5_000);
    server.publish(SESSION, "m_1", delta("four"), ...FINISH);
    clock.advance(10);
    await settled();
    assert.equal(got.error, null);
    assertFoldsTo(got, session.messages[0]);
    assert.equal(got.chunks.filter(({ type }) => type === "start").length, 1);
  });

  test("end with the code reset when the message was lost with a restored database", async () => {
    const { clock, network, server, session } = following();
    server.publish(SESSION, "m_1", ...begin("m_1"), delta("one "));
    clock.advance(10);
    const got = collect(session.chunks("m_1"));
    await settled();
    server.restore(SESSION, 1);
    server.changeEpoch(SESSION);
    network.cut();
    clock.advance(5_000);
    await settled();
    assert.equal(got.error.code, "reset");
  });

  test("end with the session's error when it is gone", async () => {
    const { clock, server, session } = following();
    const got = collect(session.chunks("m_1"));
    await settled();
    const error = { code: "not_found", message: "Gone", retryable: false };
    server.sendAll({ type: "detached", session: SESSION, error });
    clock.advance(10);
    await settled();
    assert.equal(got.error.code, "not_found");
  });

  test("stop at an abort, which stops nothing else", async () => {
    const { clock, server, session } = following();
    server.publish(SESSION, "m_1", ...begin("m_1"));
    clock.advance(10);
    const abort = new AbortController();
    const got = collect(session.chunks("m_1", { signal: abort.signal }));
    await settled();
    abort.abort();
    await settled();
    assert.deepEqual([got.done, got.error], [true, null]);
    assert.ok(!server.received.some(({ type }) => type === "signal"));
    assert.equal(session.messages[0].status, "streaming");
  });

  test("wait for a slow reader", async () => {
    const { clock, server, session } = following();
    server.publish(SESSION, "m_1", ...begin("m_1"));
    clock.advance(10);
    const chunks = session.chunks("m_1");
    await chunks.next();
    for (let count = 0; count < 9; count += 1) server.publish(SESSION, "m_1", delta("x"));
    server.publish(SESSION, "m_1", ...FINISH);
    clock.advance(10);
    const rest = [];
    for await (const chunk of chunks) rest.push(chunk);
    assert.deepEqual(rest.slice(1), [...Array(9).fill(delta("x")), ...FINISH]);
  });
});

describe("a snapshot", () => {
  test("is the same while nothing changes, and has new objects only for what has changed", () => {
    const { clock, server, session } = following();
    server.publish(SESSION, "m_1", ...answer("m_1", "done"));
    server.publish(SESSION, "m_2", { type: "start" }, { type: "file", mediaType: "a/b", url: "data:," }, ...begin("m_2").slice(1));
    clock.advance(10);
    const before = session.snapshot();
    assert.equal(session.snapshot(), before);
    server.publish(SESSION, "m_2", delta("word"));
    clock.advance(10);
    const after = session.snapshot();
    assert.notEqual(after, before);
    assert.notEqual(after.messages, before.messages);
    assert.equal(after.messages[0], before.messages[0]);
    assert.equal(after.messages[1].parts[0], before.messages[1].parts[0]);
    assert.notEqual(after.messages[1].parts[1], before.messages[1].parts[1]);
    assert.equal(after.signals, before.signals);
    assert.deepEqual(plain(after.messages), plain(session.messages));
  });

  test("never changes afterwards", () => {
    const { clock, server, session } = following();
    const input = { type: "tool-input-start", toolCallId: "c", toolName: "t" };
    server.publish(SESSION, "m_1", ...begin("m_1"), delta("one"), input, { type: "tool-input-delta", toolCallId: "c", inputTextDelta: "{" });
    clock.advance(10);
    const before = session.snapshot();
    const copy = structuredClone(before.messages);
    server.publish(SESSION, "m_1", delta("two"), { type: "tool-input-delta", toolCallId: "c", inputTextDelta: "}" });
    server.publish(SESSION, "m_1", ...FINISH);
    clock.advance(10);
    assert.deepEqual(before.messages, copy);
    assert.equal(session.snapshot().messages[0].status, "complete");
  });

  test("is a new one for each change that an event tells of", () => {
    const { clock, server, session } = following();
    let last = session.snapshot();
    session.addEventListener("change", () => {
      assert.notEqual(session.snapshot(), last);
      last = session.snapshot();
      assert.deepEqual([last.working, last.ready], [session.working, session.ready]);
    });
    server.publish(SESSION, "m_1", ...begin("m_1"));
    clock.advance(10);
    assert.equal(last.working, true);
    server.publish(SESSION, "m_1", ...FINISH);
    clock.advance(10);
    assert.equal(last.working, false);
  });
});

test("a snapshot loses an accepted message with a restored database, though no event tells of it", async () => {
  const { clock, server, session } = following();
  server.loses = () => true;
  const sent = session.send("Hello");
  clock.advance(10);
  await sent;
  assert.equal(session.snapshot().messages[0].status, "sending");
  server.restore(SESSION, 1);
  const changes = record(session, "change");
  server.heartbeat();
  clock.advance(10);
  assert.equal(changes.length, 1);
  assert.deepEqual(session.snapshot().messages, []);
});

describe("callers that follow the same session", () => {
  test("share it until each has detached", () => {
    const { clock, holdfast, server, session } = following();
    assert.equal(holdfast.session(SESSION), session);
    session.detach();
    server.publish(SESSION, "m_1", ...answer("m_1", "still here"));
    clock.advance(10);
    assert.deepEqual(shown(session), ["complete: still here"]);
    session.detach();
    clock.advance(10);
    assert.equal(server.received.filter(({ type }) => type === "detach").length, 1);
    session.detach();
    assert.notEqual(holdfast.session(SESSION), session);
  });
});

/** A page whose requests to the REST API get these answers, and the requests. */
function pageWithRest(answerTo) {
  const created = world();
  const requests = [];
  created.network.fetch = async (url, { method, headers, body }) => {
    const request = { method, url: url.replace("/api/", ""), headers, body: body && JSON.parse(body) };
    requests.push(request);
    const { status = 200, ...given } = await answerTo(request, created);
    return new Response(JSON.stringify(given.body ?? given), { status });
  };
  const page = openPage(created);
  page.holdfast.connect();
  return { ...created, ...page, requests };
}

describe("earlier messages", () => {
  const COUNT = 40;

  /** A session with more messages than an attach brings, and its history by REST. */
  async function long(beforeAnswer = () => {}) {
    const history = ({ url }, { server }) => {
      const query = new URL(url, "http://a/").searchParams;
      const [before, limit] = [Number(query.get("before")), Number(query.get("limit"))];
      const earlier = plain(server.messages(SESSION)).filter((message) => message.first_serial < before);
      const results = earlier.slice(-limit).reverse();
      beforeAnswer(server);
      return { results, next: earlier.length > limit ? "/api/more/" : null };
    };
    const page = pageWithRest(history);
    for (let count = 0; count < COUNT; count += 1) page.server.publish(SESSION, `m_${count}`, ...answer(`m_${count}`, `${count}`));
    const session = page.holdfast.session(SESSION);
    page.clock.advance(10);
    return { ...page, session };
  }

  test("are loaded into the session, in order", async () => {
    const { session, server } = await long();
    assert.deepEqual([session.messages.length, session.older], [30, true]);
    const changes = record(session, "change");
    await session.loadOlder(6);
    assert.deepEqual([session.messages.length, session.older, changes[0][1].messages.size], [36, true, 6]);
    await session.loadOlder();
    assert.deepEqual([session.messages.length, session.older], [COUNT, false]);
    assert.deepEqual(plain(session.messages), plain(server.messages(SESSION)));
    await session.loadOlder();
    assert.equal(session.messages.length, COUNT);
  });

  test("are asked for once by several callers", async () => {
    const { session, requests } = await long();
    await Promise.all([session.loadOlder(), session.loadOlder()]);
    assert.equal(requests.length, 1);
  });

  test("that change on the way are loaded again", async () => {
    let calls = 0;
    const page = await long((server) => {
      calls += 1;
      if (calls > 1) return;
      const last = { parent: null, replaces: ["m_38", "m_39", "m_3"] };
      server.beginAt(SESSION, "m_new", last, { type: "start" });
      page.clock.advance(10);
    });
    await page.session.loadOlder();
    assert.equal(calls, 2);
    assert.deepEqual(plain(page.session.messages), plain(page.server.messages(SESSION)));
  });

  test("go on to change with the session", async () => {
    const { session, server, clock } = await long();
    await session.loadOlder();
    server.beginAt(SESSION, "m_new", { parent: null, replaces: ["m_2"] }, { type: "start" });
    clock.advance(10);
    assert.deepEqual(plain(session.messages), plain(server.messages(SESSION)));
  });
});

describe("sessions by the REST API", () => {
  test("are created and listed", async () => {
    const { holdfast, requests } = pageWithRest(({ method }) => {
      return method === "POST" ? { id: "new" } : { results: [{ id: "new" }], next: null };
    });
    assert.equal((await holdfast.createSession({ title: "A talk" })).id, "new");
    assert.deepEqual((await holdfast.listSessions()).results, [{ id: "new" }]);
    await holdfast.listSessions("/api/sessions/?cursor=1");
    assert.deepEqual(requests.map(({ method, url, body }) => [method, url, body]), [
      ["POST", "sessions/", { title: "A talk" }],
      ["GET", "sessions/", undefined],
      ["GET", "sessions/?cursor=1", undefined],
    ]);
  });

  test("reject with the server's code, or as offline", async () => {
    const { holdfast } = pageWithRest(({ method }) => {
      if (method === "GET") throw new TypeError("Failed to fetch");
      return { status: 409, body: { code: "storage_full", message: "Full", retryable: false } };
    });
    await assert.rejects(holdfast.createSession(), { code: "storage_full", message: "Full", offline: false, retryable: false });
    await assert.rejects(holdfast.listSessions(), { code: "", offline: true, retryable: true });
  });
});
