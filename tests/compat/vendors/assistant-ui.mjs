// assistant-ui, as its vendor publishes it: its runtime for the AI SDK, and its external store over Holdfast's client.

import { register } from "node:module";
import { useChat } from "@ai-sdk/react";
import { JSDOM } from "jsdom";
import { clientInNode } from "../../js/support/client-in-node.mjs";
import { chatOf, resume, stopAgent } from "./ai-sdk.mjs";

register("../../js/support/find-packages.mjs", import.meta.url);
const { window } = new JSDOM("", { url: "https://holdfast.test/", pretendToBeVisual: true });
for (const name of ["window", "document", "navigator", "HTMLElement", "Node", "MutationObserver"]) {
  Object.defineProperty(globalThis, name, { value: window[name] ?? window, configurable: true, writable: true });
}
const { createElement, StrictMode } = await import("react");
const { createRoot } = await import("react-dom/client");
const { AssistantRuntimeProvider, useExternalStoreRuntime } = await import("@assistant-ui/react");
const { AssistantChatTransport, useAISDKRuntime } = await import("@assistant-ui/react-ai-sdk");
const { HoldfastProvider } = await import("../../../static/holdfast/react.js");
const { useHoldfastThread } = await import("../../../static/holdfast/assistant-ui.js");

/** A mounted page with one runtime, `used` by a hook. */
class Page {
  runtime = null;
  #root;

  /** @param {() => object} use @param {(page: object) => object} around the page */
  constructor(use, around = (page) => page) {
    const Thread = () => {
      this.runtime = use();
      return createElement(AssistantRuntimeProvider, { runtime: this.runtime }, null);
    };
    this.#root = createRoot(window.document.body.appendChild(window.document.createElement("div")));
    this.#root.render(createElement(StrictMode, null, around(createElement(Thread))));
  }

  async mounted() {
    while (!this.runtime) await new Promise((done) => setTimeout(done, 1));
  }

  get thread() {
    return this.runtime.thread;
  }

  /** The thread's messages, without what is the same in each. */
  get messages() {
    return this.thread.getState().messages;
  }

  submit(text) {
    this.thread.append({ role: "user", content: [{ type: "text", text }] });
  }

  async decide({ approvals, results }) {
    const answer = this.thread.getMessageById(this.messages.at(-1).id);
    for (const { call, approved, reason } of approvals) {
      await answer.getMessagePartByToolCallId(call).respondToToolApproval({ approved, reason });
    }
    for (const { toolCallId, output, errorText } of results) {
      const part = answer.getMessagePartByToolCallId(toolCallId);
      await part.addToolResult(errorText === undefined ? output : { result: errorText, isError: true, artifact: undefined });
    }
  }

  regenerate() {
    this.thread.getMessageById(this.messages.at(-1).id).reload();
  }

  unmount() {
    this.#root.unmount();
  }
}

export class AssistantUiClient {
  #said;
  #chat;
  #page;

  /** @param {{url: string, headers: object, session: string, messages: object[]}} said */
  constructor(said) {
    const { url, headers } = said;
    const transport = new AssistantChatTransport({ api: `${url}/api/chat`, headers });
    this.#said = said;
    this.#chat = chatOf(said, transport);
    // Without `transport.setRuntime`: it would send the id of assistant-ui's own thread, and resume with the chat's.
    this.#page = new Page(() => useAISDKRuntime(useChat({ chat: this.#chat })));
  }

  open = () => this.#page.mounted();
  submit = ({ text }) => this.#page.submit(text);
  resume = () => resume(this.#chat);
  decide = (given) => this.#page.decide(given);
  regenerate = () => this.#page.regenerate();
  stop = () => stopAgent(this.#said);

  load({ messages }) {
    this.#chat.messages = messages;
  }

  state() {
    const { status, error, messages: held } = this.#chat;
    return { status, error: error && String(error), held, messages: this.#page.messages };
  }

  async close() {
    await this.#chat.stop();
    this.#page.unmount();
  }
}

export class AssistantUiStoreClient {
  #holdfast;
  #page;

  /** @param {{url: string, headers: object, session: string}} said */
  constructor({ url, headers, session }) {
    const holdfast = (this.#holdfast = clientInNode({ url, headers, transport: "websocket", page: {} }));
    this.#page = new Page(
      () => useExternalStoreRuntime(useHoldfastThread(session)),
      (page) => createElement(HoldfastProvider, { holdfast }, page),
    );
  }

  async open() {
    await this.#page.mounted();
    while (this.#page.thread.getState().isLoading) await new Promise((done) => setTimeout(done, 1));
  }

  submit = ({ text }) => this.#page.submit(text);
  decide = (given) => this.#page.decide(given);
  regenerate = () => this.#page.regenerate();
  stop = () => this.#page.thread.cancelRun();

  state() {
    const { messages } = this.#page;
    return { status: messages.at(-1)?.status?.type === "running" ? "streaming" : "ready", messages };
  }

  close() {
    this.#page.unmount();
    this.#holdfast.close();
  }
}
