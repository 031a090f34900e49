// The AI SDK's Chat in Node over the client: sends a message, regenerates the answer, prints what it has, and ends.

import { Chat } from "@ai-sdk/react";
import { WebSocket } from "undici"; // Node has one of its own from 22 on, which can't send a cookie
import { HoldfastChatTransport } from "../../../static/holdfast/ai-sdk.js";
import { Holdfast } from "../../../static/holdfast/index.js";

const { url, headers, transport: name, text } = JSON.parse(process.argv[2]);

class SocketWithHeaders extends WebSocket {
  constructor(address) {
    super(address, { headers });
  }
}

const holdfast = new Holdfast({
  url: `${url}/ws/`,
  api: `${url}/api/`,
  WebSocket: name === "websocket" ? SocketWithHeaders : null,
  fetch: (address, init) => fetch(address, { ...init, headers: { ...init.headers, ...headers } }),
});
holdfast.connect();

const session = async (chatId) => (await holdfast.createSession({ external_id: chatId })).id;
const transport = new HoldfastChatTransport(holdfast, { session });
const chat = new Chat({ id: "a-chat-of-its-own", transport });
await chat.sendMessage({ text });
const first = chat.messages;
await chat.regenerate();
const { id } = await transport.session(chat.id);
const { status, error, messages } = chat;
console.log(JSON.stringify({ used: holdfast.connection.transport, session: id, status, error: error?.message, first, messages }));
transport.close();
holdfast.close();
