// Reads `{frames, keep}` as JSON lines and writes, for each, the messages that the browser's session state ends with.

import { createInterface } from "node:readline";
import { SessionState } from "../../static/holdfast/session-state.js";

for await (const line of createInterface({ input: process.stdin })) {
  const { frames, keep } = JSON.parse(line);
  const state = new SessionState("session", keep);
  state.attach(0);
  for (const frame of frames) state.receive(frame, 0, 0);
  const messages = [...state.messages.values()].map(({ revision, ...message }) => message);
  process.stdout.write(JSON.stringify({ messages, cursor: state.cursor, attaching: state.isAttaching }) + "\n");
}
