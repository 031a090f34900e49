// The worker of tests/scenarios/test_node_workers.py: `node agents.mjs URL TOKEN NAME`. Each prompt names what it does.

import { readFileSync } from "node:fs";

import { isStepCount, jsonSchema, simulateReadableStream, streamText, tool } from "ai";
import { MockLanguageModelV4 } from "ai/test";

import { Worker } from "../../../agents_app/node/index.js";

const [url, token, name] = process.argv.slice(2);
const page = readFileSync(new URL("../../../docs/agents.md", import.meta.url), "utf8").split("## Agents in Node\n")[1].split("\n## ")[0];
const [register, lends, asks] = [...page.matchAll(/```js\n(.*?)```/gs)].map(([, block]) => block.replace(/^import .*\n/gm, ""));
const AsyncFunction = (async () => undefined).constructor;

/** Return the agent that the documentation's code registers. */
async function documented(names) {
  let registered;
  class Registry {
    agent(_, agent) {
      registered = agent;
    }
    async run() {}
  }
  const all = { Worker: Registry, streamText, token, ...names };
  await new AsyncFunction(...Object.keys(all), register)(...Object.values(all));
  return registered;
}

const pause = () => new Promise((resolve) => setTimeout(resolve, 20));

// A model of the AI SDK's that says what it is told to

const usage = { inputTokens: { total: 3 }, outputTokens: { total: 4 } };
const end = (reason) => ({ type: "finish", finishReason: { unified: reason, raw: reason }, usage });
const text = (...deltas) => [
  { type: "text-start", id: "1" },
  ...deltas.map((delta) => ({ type: "text-delta", id: "1", delta })),
  { type: "text-end", id: "1" },
  end("length"),
];
const call = (toolCallId, toolName, input) => ({ type: "tool-call", toolCallId, toolName, input });
const results = (prompt) => prompt.at(-1).content.map(({ output }) => output);
const checked = (value) => (value.book ? { success: true, value } : { success: false, error: new Error("no book") });

/** @param {any[]} steps the chunks of each step, or what returns them */
function scripted(steps) {
  const rest = [...steps];
  const doStream = async (options) => {
    const step = rest.shift();
    const chunks = [{ type: "stream-start", warnings: [] }, ...(typeof step === "function" ? step(options) : step)];
    return { stream: simulateReadableStream({ chunks }) };
  };
  return new MockLanguageModelV4({ doStream });
}

const does = {
  async pay(turn) {
    const call = await turn.tool("pay", '{"amount": 1.10}');
    const { approved, reason } = await call.approval({ reason: "Money", editable: true });
    if (!approved) return await turn.text(reason);
    const pay = ({ amount }) => `paid ${amount}`;
    await turn.text(await call.execute(pay));
    await call.execute(pay).catch((problem) => turn.text(` ${problem.name}`));
  },

  async stream(turn) {
    const spoken = text("Streamed ", "by ", "the SDK");
    await (await documented({ model: scripted([spoken]) }))(turn);
    await turn.metadata({ model: "mock" });
  },

  /** Two calls of one step: one that people decide about, and one that runs at once, by the documentation's code; then what the model was told. */
  async sdk(turn) {
    let told;
    const lend = tool({
      inputSchema: jsonSchema({ type: "object" }, { validate: checked }),
      execute: ({ book }) => `${book} is lent`,
    });
    const search = tool({ inputSchema: jsonSchema({ type: "object" }), execute: () => "on the shelf" });
    const calls = [call("1", "lend", '{"book": "Emma"}'), call("2", "search", "{}")];
    const model = scripted([[...calls, end("tool-calls")], ({ prompt }) => ((told = results(prompt)), text("Done."))]);
    const names = { turn, streamText, isStepCount, model, search, lend };
    await new AsyncFunction(...Object.keys(names), asks)(...Object.values(names));
    await turn.text(JSON.stringify(told));
  },

  async locate(turn) {
    const where = await turn.tool("locate", {});
    await turn.text(JSON.stringify(await where.result()));
  },

  async lose(turn) {
    await turn.text("mine");
    turn.signal.addEventListener("abort", () => console.error(`lost: ${turn.signal.reason.message}`));
    await new Promise(() => undefined);
  },

  async lend(turn) {
    await new AsyncFunction("turn", "lend", lends)(turn, (book) => `${book} is lent`);
  },

  async count(turn) {
    await turn.reasoning("Let me count.");
    for (let number = 0; ; number += 1) {
      await turn.text(`${number}é `);
      if (number % 5 === 4) {
        const steers = await turn.step();
        if (steers.length) return await turn.text(`[${steers}]`);
      }
      await pause();
      turn.signal.throwIfAborted();
    }
  },
};

const running = new Worker({ url, token, name }).agent("far", (turn) => does[turn.prompt](turn)).run();
console.log("ready to run"); // and to be told to stop
await running;
