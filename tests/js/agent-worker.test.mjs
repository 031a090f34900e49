// The npm package holdfast-agent against a site that refuses, goes away, and gives its runs to others.

import assert from "node:assert/strict";
import { test } from "node:test";

import { FakeSite, refusal, run } from "./support/fake-site.mjs";

const never = (turn) => new Promise((_, reject) => turn.signal.addEventListener("abort", () => reject(turn.signal.reason)));
const jwt = (seconds) => `.${Buffer.from(JSON.stringify({ exp: Date.now() / 1000 + seconds })).toString("base64url")}.`;

test("an answer has usage, metadata, data, sources and its finish reason", async () => {
  const site = await FakeSite.open();
  const agent = async (turn) => {
    await turn.reasoning("Hm.");
    await turn.text(`${turn.prompt}!`);
    await turn.metadata({ model: "m" });
    await turn.data("weather", { sunny: true }, { id: "today" });
    await turn.write({ type: "source-url", sourceId: "1", url: "https://example.com" });
    turn.usage({ inputTokens: 3, outputTokens: undefined });
    turn.usage({ inputTokens: 1, outputTokens: 2 });
    turn.finishReason = "length";
    assert.throws(() => (turn.finishReason = "tired"), TypeError);
    assert.throws(() => turn.usage({ inputTokens: 1.5 }), TypeError);
  };
  await site.serve(agent, async () => {
    site.tell(run());
    await site.until(() => site.end);
  });
  assert.deepEqual(site.chunks, [
    { type: "start", messageId: "m_1" },
    { type: "start-step" },
    { type: "reasoning-start", id: "reasoning_1" },
    { type: "reasoning-delta", id: "reasoning_1", delta: "Hm." },
    { type: "reasoning-end", id: "reasoning_1" },
    { type: "text-start", id: "text_2" },
    { type: "text-delta", id: "text_2", delta: "Hello!" },
    { type: "message-metadata", messageMetadata: { model: "m" } },
    { type: "text-end", id: "text_2" },
    { type: "data-weather", data: { sunny: true }, id: "today" },
    { type: "source-url", sourceId: "1", url: "https://example.com" },
    { type: "finish-step" },
    { type: "finish", finishReason: "length" },
  ]);
  const counted = site.batches.reduce((sum, { usage }) => sum + (usage?.input_tokens ?? 0) * 10 + (usage?.output_tokens ?? 0), 0);
  assert.equal(counted, 42);
});

test("a history that doesn't fit into the run's frame comes by pages, up to fifty messages", async () => {
  const site = await FakeSite.open();
  const message = (number) => ({ id: `m_${number}`, role: "user", parts: [{ type: "text", text: String(number) }] });
  const range = (from, to) => Array.from({ length: to - from }, (_, index) => message(from + index));
  site.intercept = (path, body) => {
    if (body.type !== "history") return undefined;
    site.requests.push(body);
    const before = Number(body.before.slice(2));
    return { body: { type: "answer", id: body.id, result: { messages: range(before - Math.min(body.limit, 20), before), older: true } } };
  };
  let history;
  await site.serve((turn) => (history = turn.history), async () => {
    site.tell(run({ messages: range(995, 1000), older: true }));
    await site.until(() => site.end);
  });
  assert.deepEqual(history.map(({ id }) => id), range(950, 1000).map(({ id }) => id));
  assert.deepEqual(site.requests.map(({ limit }) => limit), [45, 25, 5]);
});

for (const code of ["fenced", "not_found", "forbidden_agent"]) {
  test(`a run that is lost (${code}) aborts its signal, and nothing more of it is written`, async () => {
    const site = await FakeSite.open();
    let refused = 0;
    site.intercept = (path, { sequence }) => (sequence > 1 ? (refused++, refusal(code)) : undefined);
    let problem;
    const agent = async (turn) => {
      await turn.text("mine");
      await turn.flush();
      await turn.text("another's");
      problem = await never(turn).catch((reason) => reason);
      await turn.text("late").catch(({ name }) => assert.equal(name, "AbortError"));
    };
    await site.serve(agent, async () => {
      site.tell(run());
      await site.until(() => refused);
      await new Promise((resolve) => setTimeout(resolve)); // the agent's turn to hear of it
    });
    assert.deepEqual([problem.name, refused, site.text, site.end], ["AbortError", 1, "mine", undefined]);
  });
}

test("a run that the claim's answer doesn't name any more is stopped", async () => {
  const site = await FakeSite.open();
  let problem;
  const agent = async (turn) => {
    await turn.text("mine");
    await turn.flush();
    site.held.clear();
    site.tell({ type: "inbox", run: "run_2", signal: {} }); // ends the poll
    problem = await never(turn).catch((reason) => reason);
  };
  await site.serve(agent, async () => {
    site.tell(run());
    await site.until(() => problem);
  });
  assert.deepEqual([problem.message, site.text, site.end], ["The run has ended at the site.", "mine", undefined]);
});

for (const code of ["forbidden_agent", "bad_token", "forbidden_scope", "fenced"]) {
  test(`a refused claim (${code}) ends the worker with the site's words`, async () => {
    const site = await FakeSite.open();
    site.intercept = (path) => (path === "/api/work/claim/" ? refusal(code) : undefined);
    await site.serve(never, async (worker, running) => {
      await assert.rejects(running, { name: "HoldfastError", code, message: `It is ${code}.` });
    });
  });
}

test("an expired token is replaced by a fresh one, which several requests share", async () => {
  const site = await FakeSite.open();
  let given = 0;
  site.intercept = () => (site.tokens.at(-1).endsWith(" old") ? refusal("token_expired") : undefined);
  const token = () => (given++ ? jwt(60) : `${jwt(60)} old`);
  await site.serve((turn) => turn.text("Hello"), async () => {
    site.tell(run());
    await site.until(() => site.end);
  }, { token });
  assert.equal(site.end.type, "finish");
  assert.ok(given <= 3, `it asked for ${given} tokens`);
});

test("one token serves for most of its life; claims declare what happens while an agent is busy", async () => {
  const site = await FakeSite.open();
  let given = 0;
  await site.serve((turn) => turn.text(turn.traceparent), async (worker) => {
    worker.agent("near", never, { whileBusy: "steer" });
    site.tell(run({ traceparent: "00-1-2-01" }));
    await site.until(() => site.end);
  }, { token: async () => (given++, jwt(3600)) });
  assert.deepEqual([given, site.text], [1, "00-1-2-01"]);
  assert.deepEqual(site.claims.at(-1).while_busy, { far: "queue", near: "steer" });
});

test("a site that is gone for an hour is waited for, whatever answers in its place", async (context) => {
  const site = await FakeSite.open();
  const said = context.mock.method(console, "error", () => undefined).mock;
  const gone = [{ status: 502 }, { status: 301, headers: { location: "https://elsewhere/" } }, refusal("storage_unavailable", { retryable: true })];
  let hour = 0;
  const now = performance.now.bind(performance);
  context.mock.method(performance, "now", () => now() + hour);
  site.intercept = () => {
    hour += 1_200_000;
    return gone.pop();
  };
  await site.serve((turn) => turn.text("Hello"), async () => {
    site.tell(run());
    await site.until(() => site.end);
  });
  assert.equal(site.end.type, "finish");
  assert.match(said.calls[0].arguments[0], /doesn't answer/);
  assert.match(said.calls.at(-1).arguments[0], /answers again/);
  assert.equal(said.callCount(), 2);
});

test("an answer whose batches can't be stored is given up, and the worker goes on", async (context) => {
  const site = await FakeSite.open();
  context.mock.method(console, "error", () => undefined);
  const now = performance.now.bind(performance);
  let later = 0;
  context.mock.method(performance, "now", () => now() + later);
  site.intercept = (path, { run }) => {
    if (run !== "run_1") return undefined;
    later += 400_000;
    return { status: 503 };
  };
  await site.serve((turn) => turn.text("Hello"), async () => {
    site.tell(run());
    await site.until(() => later);
    site.tell(run({ run: "run_2", message: "m_2" }));
    await site.until(() => site.end);
  });
  assert.deepEqual(site.end, { type: "finish", finishReason: "stop" });
});

test("beats go on while a request gets no answer", async () => {
  const site = await FakeSite.open();
  let open;
  site.intercept = (path) => (path.endsWith("/publish/") ? new Promise((resolve) => (open = () => resolve(undefined))) : undefined);
  await site.serve((turn) => turn.text("Hello"), async () => {
    site.tell(run());
    await site.until(() => open);
    const { beats } = site;
    await site.until(() => site.beats >= beats + 3);
    site.intercept = () => undefined;
    open();
    await site.until(() => site.end);
  });
  assert.equal(site.text, "Hello");
});

test("runs that come while the worker stops are handed back", async () => {
  const site = await FakeSite.open();
  let finish;
  const agent = async (turn) => {
    await turn.text("Hello");
    await turn.flush();
    await new Promise((resolve) => (finish = resolve));
  };
  await site.serve(agent, async (worker, running) => {
    site.tell(run());
    await site.until(() => finish);
    worker.stop();
    await site.until(() => site.claims.at(-1).most === 0);
    site.tell(run({ run: "run_2", message: "m_2" }));
    await site.until(() => site.requests.length);
    finish();
    await running;
  });
  assert.deepEqual(site.requests.map(({ type, run }) => [type, run]), [["hand-back", "run_2"]]);
  assert.equal(site.end.type, "finish");
});

test("at the drain's end what has begun is interrupted, and what hasn't goes back", async () => {
  const site = await FakeSite.open();
  const agent = async (turn) => {
    if (turn.session === "s_1") await turn.text("Hello");
    await never(turn);
  };
  site.intercept = (path, body) => (body.type === "history" ? new Promise(() => undefined) : undefined); // it never begins
  await site.serve(agent, async (worker, running) => {
    site.tell(run());
    site.tell(run({ run: "run_2", session: "s_2", message: "m_2", older: true }));
    await site.until(() => site.text);
    worker.stop();
    await running;
  }, { drainMs: 50 });
  assert.equal(site.end.type, "interrupt");
  assert.deepEqual(site.requests.map(({ type, run }) => [type, run]), [["hand-back", "run_2"]]);
});

test("an agent that goes on after a stop is cut off within a second, and a stream that stalls is cancelled", async () => {
  const site = await FakeSite.open();
  let isCancelled = false;
  const agent = async (turn) => {
    await turn.text("Hello");
    const stalled = new ReadableStream({ cancel: () => (isCancelled = true) }, { highWaterMark: 0 });
    await turn.stream(stalled).catch(() => undefined);
    await new Promise(() => undefined);
  };
  await site.serve(agent, async () => {
    site.tell(run());
    await site.until(() => site.text);
    site.tell({ type: "stop", run: "run_1", reason: "cancelled" });
    await site.until(() => site.end);
  });
  assert.equal(isCancelled, true);
  assert.match(site.end.reason, /still busy/);
});

test("calls take one outcome, approvals have bounds, and output that can't be shown is told as such", async () => {
  const site = await FakeSite.open();
  const problems = [];
  const kept = ({ code, name }) => problems.push(code ?? name);
  site.intercept = (path, body) => {
    const asked = body.chunks?.find(({ type }) => type === "tool-approval-request");
    if (asked) setImmediate(() => site.tell(decided(asked.approvalId)));
    return body.type === "begin" ? { body: { type: "answer", id: body.id, result: "begun" } } : undefined;
  };
  const decided = (target) => ({ type: "inbox", run: "run_1", signal: { id: "a", kind: "approve", actor: "x", issued_by: "idp", target, payload: {} } });
  const agent = async (turn) => {
    const call = await turn.tool("look", {}, { title: "Looking" });
    await call.output("x".repeat(turn.chunkBytes)).catch(kept);
    await call.output({ found: 1 });
    await call.error("no").catch(kept);
    await call.approval().catch(kept);
    const asked = await turn.tool("pay", { amount: 1 });
    await asked.approval({ expiresMs: -1 }).catch(kept);
    const { issuedBy } = await asked.approval({ expiresMs: 1000.4 });
    problems.push(issuedBy);
    await asked.execute(() => 1n).catch(kept);
  };
  await site.serve(agent, async () => {
    site.tell(run());
    await site.until(() => site.end);
  });
  assert.deepEqual(problems, ["bad_chunk", "unknown_part", "unknown_part", "TypeError", "idp", "TypeError"]);
  const outcomes = site.chunks.filter(({ type }) => type.startsWith("tool-output"));
  assert.deepEqual(outcomes.map(({ type }) => type), ["tool-output-available", "tool-output-error"]);
  assert.match(outcomes[1].errorText, /was done/);
  assert.equal(site.chunks.find(({ type }) => type === "tool-approval-request").approvalDescriptor.expires_ms, 1000);
});

test("a worker that is set up wrongly says so at its line", async () => {
  const site = await FakeSite.open();
  await site.close();
  const { Worker } = await import("../../agents_app/node/index.js");
  const options = { url: "https://chat.example", token: "token", name: "worker-1" };
  for (const wrong of [{ url: "chat.example" }, { url: "ftp://chat" }, { token: "" }, { name: "short" }, { most: 0 }, { most: 2000 }]) {
    assert.throws(() => new Worker({ ...options, ...wrong }), TypeError, JSON.stringify(wrong));
  }
  await assert.rejects(new Worker(options).run(), /no agent/);
  assert.throws(() => new Worker(options).agent("far", never, { whileBusy: "wait" }), TypeError);
});
