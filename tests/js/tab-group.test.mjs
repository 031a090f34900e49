// Tabs that share a stream: one leads, the others say what they follow.

import assert from "node:assert/strict";
import { test } from "node:test";

import { TabGroup } from "../../static/holdfast/network/tab-group.js";

/** Web locks of one browser: the first in the queue of a name holds it. */
class Locks {
  #queues = new Map();

  request(name, { ifAvailable = false, signal }, use) {
    const queue = this.#queues.get(name) ?? this.#queues.set(name, []).get(name);
    if (ifAvailable && queue.length) return Promise.resolve().then(() => use(null));
    return new Promise((resolve, reject) => {
      const entry = { start: async () => { await use({ name }); this.#leave(queue, entry); resolve(); } };
      signal?.addEventListener("abort", () => {
        if (queue[0] !== entry) reject(new Error("aborted"));
        if (queue[0] !== entry) queue.splice(queue.indexOf(entry), 1);
      });
      if (queue.push(entry) === 1) queueMicrotask(entry.start);
    });
  }

  #leave(queue, entry) {
    queue.splice(queue.indexOf(entry), 1);
    queue[0]?.start();
  }
}

/** Channels of one browser, delivered with `settle`. */
function browser() {
  const open = new Set();
  class BroadcastChannel {
    constructor(name) {
      this.name = name;
      open.add(this);
    }
    postMessage(data) {
      const others = [...open].filter((one) => one !== this && one.name === this.name);
      queueMicrotask(() => others.forEach((one) => open.has(one) && one.onmessage?.({ data })));
    }
    close() {
      open.delete(this);
    }
  }
  return { navigator: { locks: new Locks() }, BroadcastChannel };
}

const settle = () => new Promise((resolve) => setTimeout(resolve, 1));

async function joined(page, ...sessions) {
  const group = new TabGroup(page, "stream");
  group.frames = [];
  group.onframe = (frame) => group.frames.push(frame);
  await new Promise((resolve) => group.join(resolve));
  group.follow(sessions);
  await settle();
  return group;
}

test("without locks or channels every tab leads", async () => {
  const group = new TabGroup({}, "stream");
  let ready = false;
  group.join(() => (ready = true));
  assert.ok(ready && group.leads);
});

test("one tab leads, and passes on what others follow", async () => {
  const page = browser();
  const leader = await joined(page, "a");
  const other = await joined(page, "b");
  assert.deepEqual([leader.leads, other.leads], [true, false]);
  assert.deepEqual(leader.others, ["b"]);
  for (const session of ["a", "b"]) leader.pass({ type: "events", session });
  leader.pass({ type: "heartbeat", tails: {} });
  await settle();
  assert.deepEqual(other.frames, [{ type: "events", session: "b" }, { type: "heartbeat", tails: {} }]);
});

test("the next tab leads when the leader leaves, and learns what the others follow", async () => {
  const page = browser();
  const leader = await joined(page, "a");
  const [second, third] = [await joined(page, "b"), await joined(page, "c")];
  let told = 0;
  second.onlead = () => (told += 1);
  leader.leave();
  await settle();
  await settle();
  assert.deepEqual([told, second.leads, third.leads], [1, true, false]);
  assert.deepEqual(second.others, ["c"]);
});

test("a tab that leaves is followed no more", async () => {
  const page = browser();
  const leader = await joined(page, "a");
  const other = await joined(page, "b");
  other.leave();
  await settle();
  assert.deepEqual(leader.others, []);
});

test("a tab that is gone without a word is forgotten after some heartbeats", async () => {
  const page = browser();
  const leader = await joined(page, "a");
  const [gone, stays] = [await joined(page, "b"), await joined(page, "c")];
  gone.follow = () => {};
  gone.onframe = () => {};
  Object.defineProperty(gone, "leads", { value: true }); // it answers no more
  for (let count = 0; count < 5; count += 1) {
    leader.pass({ type: "heartbeat", tails: {} });
    await settle();
  }
  assert.deepEqual(leader.others, ["c"]);
  assert.ok(!stays.leads);
});

test("tabs of other groups hear nothing", async () => {
  const page = browser();
  const leader = await joined(page, "a");
  const stranger = new TabGroup(page, "poll");
  await new Promise((resolve) => stranger.join(resolve));
  stranger.follow(["b"]);
  await settle();
  assert.ok(stranger.leads);
  assert.deepEqual(leader.others, []);
});
