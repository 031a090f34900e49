// Reads `{events, cut, patch}` as JSON lines and writes, for each, what the browser's fold makes of it: the message
// at the cut and what it holds there, at the end, and at the end for a client that took the patch instead of events, and for
// one that took the chunks of the unfolded message at the cut.

import { createInterface } from "node:readline";
import { applyPatch, fold, held } from "../../static/holdfast/fold.js";
import { unfold } from "../../static/holdfast/unfold.js";

function folded(messages, events) {
  for (const event of events) fold(messages, structuredClone(event));
  return messages;
}

function only(messages) {
  const [{ revision, ...message }] = messages.values();
  return JSON.parse(JSON.stringify(message));
}

function refolded(message) {
  const { id, created_at: at, parent, last_serial } = message;
  const place = { serial: message.first_serial, message: id, at, parent };
  const messages = folded(new Map(), unfold(message).map((chunk) => ({ ...place, chunk })));
  messages.get(id).last_serial = last_serial;
  return messages;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { events, cut, patch } = JSON.parse(line);
  const messages = folded(new Map(), events.slice(0, cut));
  const atCut = { message: only(messages), held: held([...messages.values()][0]) };
  const unfolded = only(folded(refolded([...messages.values()][0]), events.slice(cut)));
  const have = structuredClone(only(messages));
  const end = only(folded(messages, events.slice(cut)));
  const patched = new Map([[patch.id, applyPatch(have, patch)]]);
  const resumed = only(folded(patched, events.filter(({ serial }) => serial > patch.last_serial)));
  process.stdout.write(JSON.stringify({ atCut, end, resumed, unfolded }) + "\n");
}
