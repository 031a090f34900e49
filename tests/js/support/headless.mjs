// The client in Node: follows a session, sends a message, prints the state after the answer, and ends.

import { clientInNode } from "./client-in-node.mjs";

const said = JSON.parse(process.argv[2]);
const { session: id, text } = said;

const holdfast = clientInNode(said);
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
