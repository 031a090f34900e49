// The delays between retries.

import assert from "node:assert/strict";
import test from "node:test";
import { BASE_MS, CAP_MS, backoffDelay } from "../../static/holdfast/backoff.js";

test("the first retry is at once", () => {
  assert.equal(backoffDelay(0, 0.999), 0);
});

test("delays double up to the cap", () => {
  const delays = [1, 2, 3, 4, 5, 6, 7].map((attempt) => backoffDelay(attempt, 1));
  assert.deepEqual(delays, [BASE_MS, 1_000, 2_000, 4_000, 8_000, CAP_MS, CAP_MS]);
});

test("the whole delay is jitter", () => {
  assert.equal(backoffDelay(4, 0), 0);
  assert.equal(backoffDelay(4, 0.25), 1_000);
});

test("a very large attempt is no overflow", () => {
  assert.equal(backoffDelay(5_000, 1), CAP_MS);
});
