// assistant-ui's own runtime, unmodified, over the client's external store.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import "../../static/holdfast/older.js"; // loaded when it is needed; on the test clock, that must take no time
import { renderer, skip as skipReact } from "./support/react-page.mjs";
import { FINISH, SESSION, begin, delta, world } from "./support/world.mjs";

const installed = existsSync(new URL("../node_modules/@assistant-ui/react", import.meta.url));
const skip = skipReact || (!installed && process.env.CI !== "true" && "@assistant-ui/react isn't installed");

const CALL = { toolCallId: "call-1", toolName: "refund" };
const DESCRIPTOR = { input_hash: "sha256:1", expires_at: null, editable: false };

/** A page with assistant-ui's runtime of the session. */
async function mounted() {
  const page = world();
  const react = await renderer();
  const { AssistantRuntimeProvider, useExternalStoreRuntime } = await import("@assistant-ui/react");
  const { HoldfastProvider } = await import("../../static/holdfast/react.js");
  const { useHoldfastThread } = await import("../../static/holdfast/assistant-ui.js");
  const seen = {};
  const { createElement } = react;
  function Thread() {
    seen.runtime = useExternalStoreRuntime(useHoldfastThread(SESSION));
    return createElement(AssistantRuntimeProvider, { runtime: seen.runtime }, null);
  }
  await react.render(createElement(HoldfastProvider, { holdfast: page.holdfast }, createElement(Thread)));
  await react.pass(page.clock, 50);
  return { ...page, ...react, thread: () => seen.runtime.thread };
}

test("a message is sent, and its answer streams into the thread", { skip }, async () => {
  const { act, clock, pass, server, thread } = await mounted();
  await act(async () => void thread().append("Hello"));
  await pass(clock, 50);
  assert.deepEqual(server.messages(SESSION).map(({ parts }) => parts[0].text), ["Hello"]);
  server.publish(SESSION, "m_1", ...begin("m_1"), delta("Hel"));
  await pass(clock, 50);
  assert.equal(thread().getState().isRunning, true);
  server.publish(SESSION, "m_1", delta("lo"), ...FINISH);
  await pass(clock, 50);
  const { isRunning, messages } = thread().getState();
  assert.deepEqual([isRunning, messages.map(({ role }) => role)], [false, ["user", "assistant"]]);
  assert.deepEqual([messages[1].content[0].text, messages[1].status.type], ["Hello", "complete"]);
});

test("a tool call asks, is approved in the thread, and has its result", { skip }, async () => {
  const { act, clock, pass, server, thread } = await mounted();
  const approvalId = "a-1";
  const input = { type: "tool-input-available", ...CALL, input: { amount: 5 } };
  const request = { type: "tool-approval-request", approvalId, toolCallId: "call-1", approvalDescriptor: DESCRIPTOR };
  server.publish(SESSION, "m_1", { type: "start" }, input, request);
  await pass(clock, 50);
  const message = () => thread().getState().messages[0];
  assert.deepEqual([message().status.type, message().content[0].args], ["requires-action", { amount: 5 }]);
  const part = thread().getMessageById("m_1").getMessagePartByIndex(0);
  await act(async () => void part.respondToToolApproval({ approved: true }));
  await pass(clock, 50);
  const [approval] = server.received.filter(({ kind }) => kind === "approve");
  assert.equal(approval.payload.approval, approvalId);
  const output = { type: "tool-output-available", toolCallId: "call-1", output: "done" };
  server.publish(SESSION, "m_1", { type: "tool-approval-response", approvalId, approved: true }, output, { type: "finish" });
  await pass(clock, 50);
  assert.deepEqual([message().content[0].result, message().status.type], ["done", "complete"]);
});

test("an approval that nobody has given before the end is cancelled", { skip }, async () => {
  const { clock, pass, server, thread } = await mounted();
  const input = { type: "tool-input-available", ...CALL, input: { amount: 5 } };
  const request = { type: "tool-approval-request", approvalId: "a-1", toolCallId: "call-1", approvalDescriptor: DESCRIPTOR };
  server.publish(SESSION, "m_1", { type: "start" }, input, request);
  await pass(clock, 50);
  const approval = () => thread().getState().messages[0].content[0].approval;
  assert.deepEqual(approval(), { id: "a-1" });
  server.publish(SESSION, "m_1", { type: "abort" });
  await pass(clock, 50);
  assert.deepEqual(approval(), { id: "a-1", resolution: "cancelled" });
});

test("stopping the run cancels, and reloading regenerates", { skip }, async () => {
  const { act, clock, pass, server, thread } = await mounted();
  server.publish(SESSION, "user-message-1", { type: "message", role: "user", parts: [{ type: "text", text: "Hello" }] });
  server.publish(SESSION, "m_1", ...begin("m_1"), delta("Hel"));
  await pass(clock, 50);
  await act(async () => void thread().cancelRun());
  await pass(clock, 50);
  assert.ok(server.received.some(({ kind }) => kind === "cancel"));
  server.publish(SESSION, "m_1", { type: "abort" });
  await pass(clock, 50);
  assert.equal(thread().getState().messages[1].status.reason, "cancelled");
  await act(async () => void thread().getMessageById("m_1").reload());
  await pass(clock, 50);
  const [retry] = server.received.filter(({ kind }) => kind === "retry");
  assert.deepEqual(retry.payload, { message: "m_1", mode: "regenerate" });
});
