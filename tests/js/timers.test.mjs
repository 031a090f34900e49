// The clock of deadlines.

import assert from "node:assert/strict";
import { test } from "node:test";

import { neverBack } from "../../static/holdfast/timers.js";

test("a clock that is set back goes on from where it was", () => {
  let wall = 1_000;
  const now = neverBack(() => wall);
  assert.equal(now(), 1_000);
  wall = 5_000;
  assert.equal(now(), 5_000);
  wall = 1_000;
  assert.equal(now(), 5_000);
  wall = 1_700;
  assert.equal(now(), 5_700);
  wall = 200;
  assert.equal(now(), 5_700);
  wall = 300;
  assert.equal(now(), 5_800);
});

test("a jump ahead is passed on: it may be a sleep", () => {
  let wall = 1_000;
  const now = neverBack(() => wall);
  now();
  wall = 3_601_000;
  assert.equal(now(), 3_601_000);
});
