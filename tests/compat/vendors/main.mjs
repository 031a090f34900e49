// Chat clients of several vendors in one process, driven by lines of JSON: {number, client, verb, given} on standard input,
// {number, value} or {number, error} on standard output.

import { createInterface } from "node:readline";
import { AiSdkClient } from "./ai-sdk.mjs";
import { AssistantUiClient, AssistantUiStoreClient } from "./assistant-ui.mjs";

const MAKERS = {
  "ai-sdk-http": (said) => new AiSdkClient(said, "http"),
  "ai-sdk-websocket": (said) => new AiSdkClient(said, "websocket"),
  "ai-sdk-holdfast": (said) => new AiSdkClient(said, "holdfast"),
  "assistant-ui-ai-sdk": (said) => new AssistantUiClient(said),
  "assistant-ui-holdfast": (said) => new AssistantUiStoreClient(said),
};

/** By the name that the driver gives. @type {Map<string, AiSdkClient|AssistantUiClient|AssistantUiStoreClient>} */
const clients = new Map();

async function done({ client: name, verb, given }) {
  if (verb === "open") {
    const client = MAKERS[given.wire](given);
    clients.set(name, client);
    return client.open?.();
  }
  const client = clients.get(name);
  if (verb === "close") clients.delete(name);
  return client[verb](given);
}

async function answer(line) {
  const said = JSON.parse(line);
  const says = await done(said).then(
    (value) => ({ value: value ?? null }),
    (error) => ({ error: String(error?.stack ?? error) }),
  );
  process.stdout.write(`${JSON.stringify({ number: said.number, ...says })}\n`);
}

// A vendor's promise that nobody awaits, as in a page; a page reports it in its console.
process.on("unhandledRejection", (error) => process.stderr.write(`unhandled: ${error?.stack ?? error}\n`));
const lines = createInterface({ input: process.stdin });
lines.on("line", answer);
lines.on("close", () => process.exit(0));
