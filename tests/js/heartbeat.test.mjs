// Heartbeat: detection of a silent server.

import assert from "node:assert/strict";
import test from "node:test";
import { Heartbeat } from "../../static/holdfast/heartbeat.js";

const INTERVAL_MS = 15_000;

test("a connection is stale after two heartbeats and five seconds", () => {
  const heartbeat = new Heartbeat(INTERVAL_MS, 1_000);
  assert.equal(heartbeat.isStale(35_999), false);
  assert.equal(heartbeat.isStale(36_000), true);
});

test("any frame counts as a heartbeat", () => {
  const heartbeat = new Heartbeat(INTERVAL_MS, 0);
  heartbeat.recordFrame(30_000);
  assert.equal(heartbeat.isStale(35_000), false);
  assert.equal(heartbeat.deadline, 65_000);
});

test("a clock that is set back does not hide silence", () => {
  const heartbeat = new Heartbeat(INTERVAL_MS, 3_600_000);
  assert.equal(heartbeat.isStale(0), false);
  assert.equal(heartbeat.isStale(35_000), true);
});
