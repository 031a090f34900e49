// The worker of tests/scenarios/test_node_workers.py: `node agents.mjs URL TOKEN NAME`. Each prompt names what it does.

import { readFileSync } from "node:fs";

import { simulateReadableStream, streamText } from "ai";
import { MockLanguageModelV4 } from "ai/test";

import { Worker } from "../../../agents_app/node/index.js";

const [url, token, name] = process.argv.slice(2);
const page = readFileSync(new URL("../../../docs/agents.md", import.meta.url), "utf8").split("## Agents in Node\n")[1].split("\n## ")[0];
const [register, lends] = [...page.matchAll(/```js\n(.*?)```/gs)].map(([, block]) => block.replace(/^import .*\n/gm, ""));
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
    const usage = { inputTokens: { total: 3 }, outputTokens: { total: 4 } };
    const chunks = [
      { type: "stream-start", warnings: [] },
      { type: "text-start", id: "1" },
      ...["Streamed ", "by ", "the SDK"].map((delta) => ({ type: "text-delta", id: "1", delta })),
      { type: "text-end", id: "1" },
      { type: "finish", finishReason: { unified: "length", raw: "length" }, usage },
    ];
    const model = new MockLanguageModelV4({ doStream: async () => ({ stream: simulateReadableStream({ chunks }) }) });
    await (await documented({ model }))(turn);
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

await new Worker({ url, token, name }).agent("far", (turn) => does[turn.prompt](turn)).run();
