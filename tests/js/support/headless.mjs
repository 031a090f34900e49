// The client in Node: follows a session, sends a message, prints the state after the answer, and ends.

import { WebSocket } from "undici"; // Node has one of its own from 22 on, which can't send a cookie
import { Holdfast } from "../../../static/holdfast/index.js";

const { url, session: id, headers, transport, text } = JSON.parse(process.argv[2]);

class SocketWithHeaders extends WebSocket {
  constructor(address) {
    super(address, { headers });
  }
}

const holdfast = new Holdfast({
  url: `${url}/ws/`,
  api: `${url}/api/`,
  WebSocket: transport === "websocket" ? SocketWithHeaders : null,
  fetch: (address, init) => fetch(address, { ...init, headers: { ...init.headers, ...headers } }),
});
const states = [];
holdfast.addEventListener("connection", ({ detail }) => states.push(detail.state));
holdfast.connect();

const session = holdfast.session(id);
const answered = new Promise((resolve) => {
  session.addEventListener("change", () => {
    const answer = session.messages.at(-1);
    if (answer?.role === "assistant" && answer.status !== "streaming") resolve();
  });
});
const { serial } = await session.send(text);
await answered;
const { messages, title } = session;
console.log(JSON.stringify({ used: holdfast.connection.transport, states, serial, title, messages }));
holdfast.close();
