// The AI SDK's Chat, as its vendor publishes it, over each of its transports.

import { Chat } from "@ai-sdk/react";
import {
  DefaultChatTransport,
  WebSocketChatTransport,
  lastAssistantMessageIsCompleteWithApprovalResponses,
  lastAssistantMessageIsCompleteWithToolCalls,
} from "ai";
import { WebSocket } from "undici"; // Node has one of its own from 22 on, which can't send a cookie
import { HoldfastChatTransport } from "../../../static/holdfast/ai-sdk.js";
import { clientInNode } from "../../js/support/client-in-node.mjs";

const TRANSPORTS = {
  http: ({ url, headers }) => new DefaultChatTransport({ api: `${url}/api/chat`, headers }),
  websocket: ({ url, headers }) =>
    new WebSocketChatTransport({ url: `${url}/ws/chat/`, webSocket: socketWith(headers) }),
  holdfast: ({ url, headers }) => {
    const holdfast = clientInNode({ url, headers, transport: "websocket", page: {} });
    holdfast.connect();
    return Object.assign(new HoldfastChatTransport(holdfast), { end: () => holdfast.close() });
  },
};

function socketWith(headers) {
  return class extends WebSocket {
    constructor(address, protocols = []) {
      super(address, { protocols, headers });
    }
  };
}

/** Both of the vendor's conditions, as a page with approvals and tools of its own has them. */
function isDecided(given) {
  return lastAssistantMessageIsCompleteWithApprovalResponses(given) || lastAssistantMessageIsCompleteWithToolCalls(given);
}

/** @param {{session: string, messages: object[]}} said @param {object} transport */
export function chatOf({ session, messages }, transport) {
  return new Chat({ id: session, messages, transport, sendAutomaticallyWhen: isDecided });
}

export class AiSdkClient {
  #said;
  #transport;
  #chat;

  /** @param {{url: string, headers: object, session: string, messages: object[]}} said @param {string} transport */
  constructor(said, transport) {
    this.#said = said;
    this.#transport = TRANSPORTS[transport](said);
    this.#chat = chatOf(said, this.#transport);
  }

  submit({ text }) {
    this.#chat.sendMessage({ text });
  }

  /** Ask for the answer under way. @returns {Promise<boolean>} whether there is one; it isn't awaited */
  resume() {
    return resume(this.#chat);
  }

  /** Take the session's history, as a page does that is loaded again. */
  load({ messages }) {
    this.#chat.messages = messages;
  }

  async decide({ approvals, results }) {
    for (const { id, approved, reason } of approvals) await this.#chat.addToolApprovalResponse({ id, approved, reason });
    for (const result of results) await this.#chat.addToolOutput(outputOf(result));
  }

  regenerate() {
    this.#chat.regenerate();
  }

  async stop() {
    if (this.#transport.cancel) return this.#transport.cancel(this.#said.session).then(() => {});
    return stopAgent(this.#said);
  }

  state() {
    const { status, error, messages } = this.#chat;
    return { status, error: error && String(error), messages };
  }

  async close() {
    await this.#chat.stop();
    this.#transport.close?.();
    this.#transport.end?.();
  }
}

/** @param {Chat} chat @returns {Promise<boolean>} */
export function resume(chat) {
  return new Promise((resolve, reject) => {
    const ended = chat.resumeStream();
    // A chat that has a stream is "submitted" first; one that has none, or can't ask, ends without.
    const forget = chat["~registerStatusCallback"](() => {
      if (chat.status === "submitted") resolve(true);
    });
    ended.then(() => resolve(false), reject).finally(forget);
  });
}

export function outputOf({ tool, toolCallId, output, errorText }) {
  if (errorText !== undefined) return { state: "output-error", tool, toolCallId, errorText };
  return { tool, toolCallId, output };
}

/** The AI SDK has no request for it. @param {{url: string, headers: object, session: string}} said */
export async function stopAgent({ url, headers, session }) {
  const request = { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: "{}" };
  const response = await fetch(`${url}/api/chat/${session}/stop`, request);
  if (response.status !== 204) throw new Error(`stop: ${response.status} ${await response.text()}`);
}
