// The benchmark's agent (tests/bench/agent.py) in Node: `node elsewhere.mjs URL TOKEN`.

import { setTimeout as sleep } from "node:timers/promises";

import { Worker } from "../../agents_app/node/index.js";

const [url, token] = process.argv.slice(2);

/** A token as tests/bench/order.py writes it: tenths of a millisecond, by the clock of all processes of a machine. */
const stamp = () => ` ${String((process.hrtime.bigint() / 100_000n) % 100_000n).padStart(5, "0")}`;

async function bench(turn) {
  const { rate, tokens } = JSON.parse(turn.prompt);
  const began = performance.now();
  for (let number = 0; number < tokens; number += 1) {
    await sleep(Math.max(0, began + (1000 * number) / rate - performance.now()));
    await turn.text(stamp());
  }
}

await new Worker({ url, token, name: "bench-worker" }).agent("bench", bench).run();
