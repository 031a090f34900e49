// An external store for assistant-ui: `useExternalStoreRuntime(useHoldfastThread(sessionId))`.

"use client"; // where React renders components on a server

import { useMemo } from "react";
import { useSession } from "./react.js";

/** @typedef {import("@assistant-ui/react").AppendMessage} AppendMessage */
/** @typedef {import("@assistant-ui/react").MessageStatus} MessageStatus */
/** @typedef {import("@assistant-ui/react").ThreadMessageLike} ThreadMessageLike */
/** @typedef {ReturnType<typeof useSession>} FollowedSession */
/** @typedef {FollowedSession["messages"][number]} Message */
/** @typedef {import("./message.js").FoldedPart} FoldedPart */

/**
 * Follow a session as assistant-ui's store of a thread.
 * @param {string|null} id of the session
 * @returns {import("@assistant-ui/react").ExternalStoreAdapter<Message>}
 */
export function useHoldfastThread(id) {
  const session = useSession(id);
  return useMemo(() => threadOf(session, id !== null), [session, id]);
}

/** @param {FollowedSession} session @param {boolean} exists @returns {import("@assistant-ui/react").ExternalStoreAdapter<Message>} */
function threadOf(session, exists) {
  const { messages, working, ready, gone, older } = session;
  return {
    messages,
    convertMessage,
    isRunning: working,
    isLoading: exists && !ready && !gone,
    isDisabled: !exists || Boolean(gone),
    hasEarlier: older,
    onLoadEarlier: () => session.loadOlder(),
    onNew: async ({ content }) => void (await session.send({ parts: content.map(asSent) })),
    onCancel: async () => void (await session.cancel()),
    onReload: async (parent) => {
      const answer = messages[messages.findIndex(({ id }) => id === parent) + 1];
      await session.retry(answer.id, "regenerate");
    },
    onAddToolResult: async ({ messageId, toolCallId, result, isError }) => {
      await session.toolResult(messageId, toolCallId, isError ? { error: errorText(result) } : { output: result });
    },
    onRespondToToolApproval: async ({ approvalId, approved, reason }) => {
      await (approved ? session.approve(approvalId, { reason }) : session.deny(approvalId, reason));
    },
  };
}

/** @param {AppendMessage["content"][number]} part @returns {FoldedPart} of a text what a session keeps */
function asSent(part) {
  return part.type === "text" ? { type: "text", text: part.text } : part;
}

/** @param {unknown} result */
function errorText(result) {
  return typeof result === "string" ? result : JSON.stringify(result);
}

/** @param {Message} message @returns {ThreadMessageLike} */
export function convertMessage(message) {
  const { id, role, created_at: at, status, reason } = message;
  const parts = /** @type {FoldedPart[]} */ (message.parts);
  const content = /** @type {any[]} */ (parts.flatMap((part) => convertPart(part, status) ?? []));
  const known = { id, role, content, createdAt: new Date(at), metadata: { custom: { status, reason } } };
  return role === "assistant" ? { ...known, status: statusOf(message, parts) } : known;
}

/** @param {FoldedPart} part @param {string} status of the message */
function convertPart(part, status) {
  const { type, text, url } = part;
  if (type === "text" || type === "reasoning") return { type, text };
  if (type === "file") return { type, data: url, mimeType: part.mediaType, filename: part.filename };
  if (type === "source-url") return { type: "source", sourceType: "url", id: part.sourceId, url, title: part.title };
  if (type.startsWith("data-")) return { type, id: part.id, data: part.data };
  return part.toolCallId === undefined ? null : convertCall(part, status);
}

/** @param {FoldedPart} part @param {string} status of the message */
function convertCall({ type, toolName, toolCallId, state, input, output, errorText, preliminary, approval }, status) {
  const name = toolName ?? type.slice("tool-".length);
  const call = { type: "tool-call", toolCallId, toolName: name, args: input ?? {}, ...(preliminary && { isPreliminary: true }) };
  const result = { "output-available": { result: output }, "output-error": { result: errorText, isError: true } }[String(state)];
  const isMoot = state === "approval-requested" && status !== "streaming"; // the message ended first
  const resolution = isMoot && { resolution: "cancelled" };
  const decision = approval && { id: approval.id, ...("approved" in approval && { approved: approval.approved }), ...resolution };
  return { ...call, ...result, ...(approval && { approval: decision }) };
}

/** @param {Message} message @param {FoldedPart[]} parts @returns {MessageStatus} */
function statusOf({ status, reason }, parts) {
  const asks = parts.some(({ state }) => state === "approval-requested");
  if (status === "streaming") return asks ? { type: "requires-action", reason: "tool-calls" } : { type: "running" };
  if (status === "cancelled") return { type: "incomplete", reason: "cancelled" };
  if (status === "failed") return { type: "incomplete", reason: "error", error: reason };
  return status === "interrupted" ? { type: "incomplete", reason: "other" } : { type: "complete", reason: "stop" };
}
