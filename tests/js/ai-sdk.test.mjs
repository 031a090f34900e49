// The AI SDK's own Chat, unmodified, over Holdfast's client.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import "../../static/holdfast/chunks.js"; // loaded when it is needed; on the test clock, that must take no time
import { HoldfastChatTransport, forAiSdk } from "../../static/holdfast/ai-sdk.js";
import { recordOf } from "./support/model-server.mjs";
import { FINISH, SESSION, begin, delta, following, followingAnyhow, plain, POLL } from "./support/world.mjs";

const installed = existsSync(new URL("../node_modules/@ai-sdk/react", import.meta.url));
const skip = !installed && process.env.CI !== "true" && "@ai-sdk/react isn't installed";
const { Chat } = installed ? await import("@ai-sdk/react") : {};
const { lastAssistantMessageIsCompleteWithApprovalResponses } = installed ? await import("ai") : {};

const CALL = { toolCallId: "call-1", toolName: "refund" };
const DESCRIPTOR = { input_hash: "sha256:1", expires_at: null, editable: false };
const ASKING = [
  { type: "start-step" },
  { type: "tool-input-available", ...CALL, input: { amount: 5 } },
  { type: "tool-approval-request", approvalId: "a-1", toolCallId: "call-1", approvalDescriptor: DESCRIPTOR },
];

/** A chat over a page. */
function chatting({ holdfast, ...page }, options = {}) {
  const transport = options.transport ?? new HoldfastChatTransport(holdfast);
  let number = 0;
  const generateId = () => `chat-message-${(number += 1)}`;
  return { ...page, holdfast, transport, chat: new Chat({ id: SESSION, transport, generateId, ...options }) };
}

/** Publish the beginning of a response to the newest message. */
function respond(server, id, ...chunks) {
  const parent = server.messages(SESSION).at(-1).id;
  server.beginAt(SESSION, id, { parent }, ...chunks);
}

function assertSame(chat, server) {
  const strip = (messages) => messages.map(({ id, role, parts }) => ({ id, role, parts }));
  assert.deepEqual(plain(strip(chat.messages)), plain(strip(server.messages(SESSION))));
}

test("a message gets its response, streamed", { skip }, async () => {
  const { chat, clock, server } = chatting(following());
  const sending = chat.sendMessage({ text: "Hello" });
  await clock.pass(50);
  respond(server, "m_1", ...begin("m_1"), delta("Hel"));
  await clock.pass(50);
  assert.deepEqual([chat.status, chat.lastMessage.parts[0].text], ["streaming", "Hel"]);
  server.publish(SESSION, "m_1", delta("lo"), ...FINISH);
  await clock.pass(50);
  await sending;
  assert.equal(chat.status, "ready");
  assertSame(chat, server);
});

test("a cut loses, doubles and reorders nothing, over a long poll too", { skip }, async () => {
  for (const page of [following(), await followingAnyhow({ blocks: POLL })]) {
    const { chat, clock, network, server } = chatting(page);
    const sending = chat.sendMessage({ text: "Hello" });
    await clock.pass(500);
    respond(server, "m_1", ...begin("m_1"), delta("one "));
    await clock.pass(500);
    network.cut();
    server.publish(SESSION, "m_1", delta("two "), { type: "text-end", id: "t1" }, { type: "text-start", id: "t1" });
    await clock.pass(5_000);
    server.publish(SESSION, "m_1", delta("three"), ...FINISH);
    await clock.pass(5_000);
    await sending;
    assert.equal(chat.status, "ready");
    assertSame(chat, server);
  }
});

test("a message waits in the outbox while there is no connection", { skip }, async () => {
  const { chat, clock, network, server } = chatting(following());
  network.state = "refusing";
  network.cut();
  const sending = chat.sendMessage({ text: "Hello" });
  await clock.pass(5_000);
  assert.equal(chat.status, "submitted");
  network.state = "up";
  await clock.pass(30_000);
  respond(server, "m_1", ...begin("m_1"), ...FINISH);
  await clock.pass(50);
  await sending;
  assertSame(chat, server);
});

test("an approval ends the stream, and its decision goes on with the message", { skip }, async () => {
  const sendAutomaticallyWhen = lastAssistantMessageIsCompleteWithApprovalResponses;
  const { chat, clock, server } = chatting(following(), { sendAutomaticallyWhen });
  const sending = chat.sendMessage({ text: "Refund it" });
  await clock.pass(50);
  respond(server, "m_1", { type: "start", messageId: "m_1" }, ...ASKING);
  await clock.pass(50);
  await sending;
  assert.equal(chat.status, "ready");
  chat.addToolApprovalResponse({ id: "a-1", approved: true });
  await clock.pass(50);
  const [approval] = server.received.filter(({ kind }) => kind === "approve");
  assert.deepEqual([approval.payload.approval, approval.payload.input_hash], ["a-1", "sha256:1"]);
  assert.equal(chat.status, "submitted");
  const decided = { type: "tool-approval-response", approvalId: "a-1", approved: true };
  server.publish(SESSION, "m_1", decided, { type: "tool-output-available", toolCallId: "call-1", output: "done" });
  await clock.pass(50);
  assert.equal(chat.status, "streaming");
  server.publish(SESSION, "m_1", { type: "text-start", id: "t1" }, delta("Refunded"), ...FINISH);
  await clock.pass(50);
  assert.equal(chat.status, "ready");
  assertSame(chat, server);
});

test("two approvals are decided together, and both outcomes come", { skip }, async () => {
  const sendAutomaticallyWhen = lastAssistantMessageIsCompleteWithApprovalResponses;
  const { chat, clock, server } = chatting(following(), { sendAutomaticallyWhen });
  chat.sendMessage({ text: "Refund both" });
  await clock.pass(50);
  const second = [
    { type: "tool-input-available", toolCallId: "call-2", toolName: "refund", input: {} },
    { type: "tool-approval-request", approvalId: "a-2", toolCallId: "call-2", approvalDescriptor: DESCRIPTOR },
  ];
  respond(server, "m_1", { type: "start", messageId: "m_1" }, ...ASKING, ...second);
  await clock.pass(50);
  chat.addToolApprovalResponse({ id: "a-1", approved: true });
  chat.addToolApprovalResponse({ id: "a-2", approved: false, reason: "no" });
  await clock.pass(50);
  for (const [approvalId, approved] of [["a-1", true], ["a-2", false]]) {
    server.publish(SESSION, "m_1", { type: "tool-approval-response", approvalId, approved, ...(!approved && { reason: "no" }) });
    await clock.pass(500);
  }
  const outcomes = [{ type: "tool-output-available", toolCallId: "call-1", output: 1 }, { type: "tool-output-denied", toolCallId: "call-2" }];
  server.publish(SESSION, "m_1", ...outcomes, { type: "finish" });
  await clock.pass(50);
  assert.equal(chat.status, "ready");
  assertSame(chat, server);
});

test("a refused decision is the chat's error", { skip }, async () => {
  const sendAutomaticallyWhen = lastAssistantMessageIsCompleteWithApprovalResponses;
  const { chat, clock, server } = chatting(following(), { sendAutomaticallyWhen });
  chat.sendMessage({ text: "Refund it" });
  await clock.pass(50);
  respond(server, "m_1", { type: "start", messageId: "m_1" }, ...ASKING);
  await clock.pass(50);
  server.judge = (id, payload, kind) => kind === "approve" && { code: "already_decided", message: "Decided", retryable: false };
  chat.addToolApprovalResponse({ id: "a-1", approved: true });
  await clock.pass(50);
  assert.deepEqual([chat.status, chat.error.code], ["error", "already_decided"]);
});

test("a client that comes in the middle resumes from the beginning", { skip }, async () => {
  const { chat, clock, server } = chatting(following());
  server.publish(SESSION, "m_1", ...begin("m_1"), delta("Hel"));
  await clock.pass(50);
  const resuming = chat.resumeStream();
  await clock.pass(50);
  server.publish(SESSION, "m_1", delta("lo"), ...FINISH);
  await clock.pass(50);
  await resuming;
  assertSame(chat, server);
});

test("with nothing active, or only an open approval, a resume is ready", { skip }, async () => {
  const { chat, clock, server, transport } = chatting(following());
  assert.equal(await transport.reconnectToStream({ chatId: SESSION }), null);
  server.publish(SESSION, "m_1", { type: "start", messageId: "m_1" }, ...ASKING);
  await clock.pass(50);
  assert.equal(await transport.reconnectToStream({ chatId: SESSION }), null);
  assert.equal(chat.status, "ready");
});

test("stopping the chat cancels nothing; the transport does", { skip }, async () => {
  const { chat, clock, server, transport } = chatting(following());
  chat.sendMessage({ text: "Hello" });
  await clock.pass(50);
  respond(server, "m_1", ...begin("m_1"), delta("Hel"));
  await clock.pass(50);
  chat.stop();
  await clock.pass(50);
  assert.equal(chat.status, "ready");
  assert.ok(!server.received.some(({ kind }) => kind === "cancel"));
  transport.cancel(SESSION);
  await clock.pass(50);
  assert.ok(server.received.some(({ kind }) => kind === "cancel"));
});

test("regenerating asks for another response and streams it", { skip }, async () => {
  const { chat, clock, server } = chatting(following());
  const sending = chat.sendMessage({ text: "Hello" });
  await clock.pass(50);
  respond(server, "m_1", ...begin("m_1"), delta("first"), ...FINISH);
  await clock.pass(50);
  await sending;
  chat.regenerate();
  await clock.pass(50);
  const [retry] = server.received.filter(({ kind }) => kind === "retry");
  assert.deepEqual(retry.payload, { message: "m_1", mode: "regenerate" });
  const place = { parent: server.messages(SESSION)[0].id, replaces: ["m_1"] };
  server.beginAt(SESSION, "m_2", place, ...begin("m_2"), delta("second"), ...FINISH);
  await clock.pass(50);
  assert.equal(chat.status, "ready");
  assertSame(chat, server);
});

test("regenerating sends a message that could not be sent, and replaces no earlier answer", { skip }, async () => {
  const page = following();
  const { chat: first, clock, server } = chatting(page);
  first.sendMessage({ text: "Hello" });
  await clock.pass(50);
  respond(server, "m_1", ...begin("m_1"), delta("first"), ...FINISH);
  await clock.pass(50);
  let isOffline = true;
  const session = async () => {
    if (isOffline) throw new Error("offline");
    return SESSION;
  };
  const { chat } = chatting(page, { transport: new HoldfastChatTransport(page.holdfast, { session }), messages: first.messages });
  await chat.sendMessage({ parts: [{ type: "text", text: "And?" }], id: "the-lost-message" });
  assert.deepEqual([chat.status, chat.error.message], ["error", "offline"]);
  isOffline = false;
  chat.regenerate();
  await clock.pass(50);
  assert.deepEqual(server.received.filter(({ kind }) => kind === "retry"), []);
  respond(server, "m_2", ...begin("m_2"), delta("second"), ...FINISH);
  await clock.pass(50);
  assert.equal(chat.status, "ready");
  assert.deepEqual(server.messages(SESSION).at(-2).id, "the-lost-message");
  assertSame(chat, server);
});

test("a message that was refused after its acceptance is the chat's error", { skip }, async () => {
  const { chat, clock, server } = chatting(following());
  chat.sendMessage({ text: "Hello" });
  await clock.pass(50);
  const [{ id }] = server.messages(SESSION);
  server.record(SESSION, recordOf({ id, kind: "message", status: "rejected", code: "busy", reason: "An agent is at work" }));
  await clock.pass(50);
  assert.deepEqual([chat.status, chat.error.message], ["error", "An agent is at work"]);
});

test("a message with the same id is sent once", { skip }, async () => {
  const { transport, clock, server } = chatting(following());
  const message = { id: "the-same-message", role: "user", parts: [{ type: "text", text: "Hello" }] };
  const request = { trigger: "submit-message", chatId: SESSION, messages: [message] };
  const streams = [transport.sendMessages(request), transport.sendMessages(request)];
  await clock.pass(50);
  respond(server, "m_1", ...begin("m_1"), ...FINISH);
  await clock.pass(50);
  assert.equal((await Promise.all(streams)).length, 2);
  assert.equal(server.messages(SESSION).length, 2);
});

test("a chat has the session that its page names, asked for once, and again after a failure", { skip }, async () => {
  const page = following();
  const asked = [];
  const session = async (chatId) => {
    asked.push(chatId);
    if (asked.length === 1) throw new Error("offline");
    return SESSION;
  };
  const transport = new HoldfastChatTransport(page.holdfast, { session });
  const { chat, clock, server } = chatting(page, { id: "a chat of its own", transport });
  await chat.sendMessage({ text: "Hello" });
  assert.deepEqual([chat.status, chat.error.message], ["error", "offline"]);
  chat.sendMessage({ parts: [{ type: "text", text: "Hello", state: "done" }], metadata: { from: "a form" } });
  await clock.pass(50);
  respond(server, "m_1", ...begin("m_1"), ...FINISH);
  await clock.pass(50);
  assert.deepEqual([chat.status, asked], ["ready", ["a chat of its own", "a chat of its own"]]);
  const [{ payload }] = server.received.filter(({ kind }) => kind === "message");
  assert.deepEqual(payload, { parts: [{ type: "text", text: "Hello" }], metadata: { from: "a form" } });
  transport.close();
  await clock.pass(50);
  assert.ok(!server.received.some(({ type }) => type === "detach")); // the page follows it too
});

test("an interrupt is a finish, as the AI SDK knows it", () => {
  const finish = { type: "finish", finishReason: "interrupted", reason: "The agent died" };
  assert.deepEqual(forAiSdk({ type: "interrupt", reason: "The agent died" }), finish);
  assert.equal(forAiSdk({ type: "message", role: "user", parts: [] }), null);
  assert.deepEqual(forAiSdk(delta("x")), delta("x"));
});
