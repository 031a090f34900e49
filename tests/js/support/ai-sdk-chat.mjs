// A chat of the AI SDK as its vendor publishes it: begun by one client, cut off, resumed by another, approved there,
// asked for again and stopped. Says what the second client has in the end.

import {
  AbstractChat,
  DefaultChatTransport,
  WebSocketChatTransport,
  lastAssistantMessageIsCompleteWithApprovalResponses,
} from "ai";
import { WebSocket } from "undici"; // Node has one of its own from 22 on, which can't send a cookie

const { wire, url, chat, headers, prompt } = JSON.parse(process.argv[2]);

const sockets = [];

class Socket extends WebSocket {
  constructor(address, protocols = []) {
    super(address, { protocols, headers });
    sockets.push(this);
  }
}

const transports = {
  http: () => new DefaultChatTransport({ api: `${url}/api/chat`, headers }),
  websocket: () => new WebSocketChatTransport({ url: `${url}/ws/chat/`, webSocket: Socket }),
};

/** The state that `useChat` keeps in React. */
class State {
  status = "ready";
  error = undefined;
  messages = [];
  pushMessage = (message) => (this.messages = [...this.messages, message]);
  popMessage = () => (this.messages = this.messages.slice(0, -1));
  replaceMessage = (index, message) => (this.messages = this.messages.with(index, message));
  snapshot = (value) => structuredClone(value);
}

class Chat extends AbstractChat {
  constructor(messages = []) {
    const state = new State();
    state.messages = messages;
    super({
      id: chat,
      state,
      transport: transports[wire](),
      sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
    });
  }

  get answer() {
    return this.messages.findLast(({ role }) => role === "assistant");
  }

  part(test) {
    return this.answer?.parts.find(test);
  }
}

async function until(condition) {
  while (!condition()) await new Promise((done) => setTimeout(done, 5));
}

const saysMuch = (part) => part.type === "text" && part.text.length > 20;
const asks = (part) => part.state === "approval-requested";

const first = new Chat();
const sending = first.sendMessage({ text: prompt });
await until(() => first.part(saysMuch));
if (wire === "http") await first.stop(); // as a page does that is left
else sockets[0].close(1000); // as the network does
await sending;
const begun = first.answer;

const second = new Chat([first.messages[0], structuredClone(begun)]);
await second.resumeStream();
const waiting = second.status;
const approval = second.part(asks).approval.id;
await second.addToolApprovalResponse({ id: approval, approved: true });
await until(() => second.status === "ready" && second.part((part) => part.approval && part.output));
const approved = structuredClone(second.messages);

await second.resumeStream(); // nothing is under way
const idle = second.status;

await second.regenerate();
await until(() => second.part(asks));
const regenerated = second.answer.id;
await second.addToolApprovalResponse({ id: second.part(asks).approval.id, approved: false, reason: "not now" });
await until(() => second.status === "ready" && second.part((part) => part.state === "output-denied"));

const stopped = second.sendMessage({ text: "Hello" });
await until(() => second.answer.id !== regenerated && second.part(({ type, text }) => type === "reasoning" && text));
const response = await fetch(`${url}/api/chat/${chat}/stop`, {
  method: "POST",
  headers: { ...headers, "Content-Type": "application/json" },
  body: "{}",
});
await stopped;

const errors = [first.error, second.error].filter(Boolean).map(String);
sockets.forEach((socket) => socket.close());
const seen = { begun, waiting, approved, idle, regenerated, messages: second.messages, stop: response.status, errors };
process.stdout.write(JSON.stringify({ ...seen, statuses: [first.status, second.status] }));
