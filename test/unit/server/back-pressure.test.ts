import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { BackPressure } from "../../../src/server/delivery/back-pressure.ts";

function create() {
  const calls: string[] = [];
  const flow = {
    pause: () => calls.push("pause"),
    resume: () => calls.push("resume"),
    cut: () => calls.push("cut"),
  };
  return { calls, backPressure: new BackPressure({ softBytes: 10, hardBytes: 20, maxPausedMs: 1000 }, flow) };
}

test("pauses once above the soft limit and resumes when drained", () => {
  const { calls, backPressure } = create();
  for (const numBytes of [0, 10, 11, 15]) backPressure.noteBuffered(numBytes);
  backPressure.release();
  backPressure.release();
  assert.deepEqual(calls, ["pause", "resume"]);
});

test("cuts at the hard limit, from paused or not", () => {
  const { calls, backPressure } = create();
  backPressure.noteBuffered(21);
  assert.deepEqual(calls, ["cut"]);
  backPressure.noteBuffered(15);
  backPressure.noteBuffered(21);
  assert.deepEqual(calls, ["cut", "pause", "cut", "resume"]);
});

test("cuts after too long a pause, and not when it ended before", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { calls, backPressure } = create();
  backPressure.noteBuffered(15);
  mock.timers.tick(999);
  backPressure.release();
  mock.timers.tick(5000);
  assert.deepEqual(calls, ["pause", "resume"]);
  backPressure.noteBuffered(15);
  mock.timers.tick(1000);
  assert.deepEqual(calls, ["pause", "resume", "pause", "cut", "resume"]);
  mock.timers.reset();
});
