// Reads `{chunks, cuts}` as JSON lines and writes, for each, the message that the AI SDK makes of the chunks up to
// each cut, and the errors that it threw.

import { createInterface } from "node:readline";
import { readUIMessageStream } from "ai";

async function messageOf(chunks) {
  const errors = [];
  // A start again with the same id changes nothing, but makes the SDK show its newest state.
  const stream = ReadableStream.from([...chunks, { type: "start", messageId: chunks[0].messageId }]);
  let message = null;
  for await (const newest of readUIMessageStream({ stream, onError: (error) => errors.push(error) })) message = newest;
  // An error chunk is reported as a plain Error; what the SDK itself refuses has a name of its own.
  return { message, errors: errors.filter(({ name }) => name !== "Error").map(String) };
}

for await (const line of createInterface({ input: process.stdin })) {
  const { chunks, cuts } = JSON.parse(line);
  const results = [];
  for (const cut of cuts) results.push(await messageOf(structuredClone(chunks.slice(0, cut))));
  process.stdout.write(JSON.stringify(results) + "\n");
}
