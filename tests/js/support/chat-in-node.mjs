// The AI SDK's Chat in Node over the client: sends a message, regenerates the answer, prints what it has, and ends.

import { Chat } from "@ai-sdk/react";
import { HoldfastChatTransport } from "../../../static/holdfast/ai-sdk.js";
import { clientInNode } from "./client-in-node.mjs";

const said = JSON.parse(process.argv[2]);
const { text } = said;

const holdfast = clientInNode(said);
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
