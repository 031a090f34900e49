// The worker of tests/scenarios/test_node_workers.py: `node agents.mjs URL TOKEN NAME`. Each prompt names what it does.


import { Worker } from "../../../agents_app/node/index.js";

import { simulateReadableStream, streamText } from "ai";
import { MockLanguageModelV4 } from "ai/test";

const [url, token, name] = process.argv.slice(2);
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
    await turn.stream(streamText({ model, prompt: turn.prompt }).toUIMessageStream());
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
