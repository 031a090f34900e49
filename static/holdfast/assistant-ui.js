// An external store for assistant-ui: `useExternalStoreRuntime(useHoldfastThread(sessionId))`.

"use client"; // where React renders components on a server

import { useMemo } from "react";
import { asksPeople } from "./approvals.js";
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
  const { id, role, created_at: at, metadata, status, reason } = message;
  const parts = /** @type {FoldedPart[]} */ (message.parts);
  const content = /** @type {any[]} */ (parts.flatMap((part) => convertPart(part, status) ?? []));
  const custom = { ...metadata, status, reason };
  const known = { id, role, content, createdAt: new Date(at), metadata: { custom } };
  return role === "assistant" ? { ...known, status: statusOf(message, parts) } : known;
}

/** @param {FoldedPart} part @param {string} status of the message */
function convertPart(part, status) {
  const { type, text, url, mediaType, filename, providerMetadata } = part;
  const provider = providerMetadata && { providerMetadata };
  if (type === "text" || type === "reasoning") return { type, text, ...provider };
  if (type === "file" || type === "reasoning-file") return { type: "file", data: url, mimeType: mediaType, filename };
  if (type.startsWith("source-")) return { ...convertSource(part), ...provider };
  if (type === "custom") return { type: "data", name: part.kind, data: providerMetadata ?? null };
  if (type.startsWith("data-")) return { type, id: part.id, data: part.data };
  return part.toolCallId === undefined ? null : convertCall(part, status);
}

/** @param {FoldedPart} part */
function convertSource({ type, sourceId: id, url, title, mediaType, filename }) {
  if (type === "source-url") return { type: "source", sourceType: "url", id, url, title };
  return { type: "source", sourceType: "document", id, title, mediaType, filename };
}

/** @param {FoldedPart} part @param {string} status of the message */
function convertCall(part, status) {
  const { type, toolName, toolCallId, state, input, preliminary, approval } = part;
  const name = toolName ?? type.slice("tool-".length);
  const call = { type: "tool-call", toolCallId, toolName: name, args: input ?? {}, ...(preliminary && { isPreliminary: true }) };
  const isMoot = state === "approval-requested" && status !== "streaming"; // the message ended first
  const resolution = isMoot && { resolution: "cancelled" };
  return { ...call, ...outcomeOf(part), ...(approval && { approval: { ...convertApproval(approval), ...resolution } }) };
}

/** @param {FoldedPart} part of a call; assistant-ui takes one that was denied for a failed one */
function outcomeOf({ state, output, errorText, approval }) {
  if (state === "output-available") return { result: output };
  if (state === "output-error") return { result: errorText, isError: true };
  return state === "output-denied" ? { result: { error: approval?.reason || "Denied" }, isError: true } : {};
}

/** @param {FoldedPart["approval"]} approval */
function convertApproval({ id, requestReason: prompt, approved, reason, isAutomatic }) {
  const given = Object.entries({ prompt, approved, reason, isAutomatic }).filter(([, value]) => value !== undefined);
  return { id, ...Object.fromEntries(given) };
}

/** @param {Message} message @param {FoldedPart[]} parts @returns {MessageStatus} */
function statusOf({ status, reason }, parts) {
  const asks = parts.some(asksPeople);
  if (status === "streaming") return asks ? { type: "requires-action", reason: "tool-calls" } : { type: "running" };
  if (status === "cancelled") return { type: "incomplete", reason: "cancelled" };
  if (status === "failed") return { type: "incomplete", reason: "error", error: reason };
  return status === "interrupted" ? { type: "incomplete", reason: "other" } : { type: "complete", reason: "stop" };
}
