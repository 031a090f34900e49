// Reads `{chunks, cuts}` as JSON lines and writes, for each, the message that the AI SDK makes of the chunks up to
// each cut, the errors that it threw, and the chunks that its transport refuses, if `strict` is set.

import { createInterface } from "node:readline";
import { readUIMessageStream, uiMessageChunkSchema } from "ai";

async function refusedOf(chunks) {
  const refused = [];
  for (const chunk of chunks) if (!(await uiMessageChunkSchema().validate(chunk)).success) refused.push(chunk);
  return refused;
}

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
  const { chunks, cuts, strict } = JSON.parse(line);
  const results = [];
  for (const cut of cuts) results.push(await messageOf(structuredClone(chunks.slice(0, cut))));
  if (strict) results.push(await refusedOf(chunks));
  process.stdout.write(JSON.stringify(results) + "\n");
}
