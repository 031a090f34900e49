// The scripted agent (tests/support/scripted/agent.py) in Node: `node scripted.mjs URL TOKEN NAME`.

import { randomBytes } from "node:crypto";
import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { ToolFailed, Worker } from "holdfast-agent";

const WORD_MS = 20; // between two words
const ACT_MS = 50; // that an approved call takes after its effect
const ASK_MS = 2_000; // that people have to decide
const PROCESS = `node-${process.pid}`;

async function append({ effect }) {
  appendFileSync(process.env.SCRIPTED_EFFECTS, `${effect} ${PROCESS}\n`);
  await sleep(ACT_MS);
  return "appended";
}

async function act(turn) {
  const call = await turn.tool("append", { effect: randomBytes(9).toString("base64url") });
  const { approved } = await call.approval({ reason: "It is written for good.", expiresMs: ASK_MS });
  if (!approved) return;
  await call.execute(append).catch((problem) => {
    if (!(problem instanceof ToolFailed)) throw problem; // the call says so
  });
}

async function scripted(turn) {
  let number = 0;
  await turn.metadata({ process: PROCESS });
  for (const order of turn.prompt.split(" ")) {
    if (order === "a") await act(turn);
    else if (order === "s") {
      for (const steer of await turn.step()) await turn.text(`[${steer}]`);
      await turn.metadata({ process: PROCESS });
    } else if (order[0] === "w") {
      for (let words = Number(order.slice(1)); words; words -= 1) {
        await turn.text(`${number++} `);
        await sleep(WORD_MS, undefined, { signal: turn.signal });
      }
    }
  }
}

const [url, token, name] = process.argv.slice(2);
console.log("ready to run");
await new Worker({ url, token, name }).agent("scripted", scripted).agent("scripted-node", scripted).run();
