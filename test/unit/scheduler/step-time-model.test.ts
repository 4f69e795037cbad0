import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { StepTimeModel } from "../../../scheduler/step-time-model.ts";
import { createBatch, learnStepTimes, prefillMs, tiledPrefillMs } from "../../support/step-times.ts";

describe("StepTimeModel", () => {
  test("predicts both kinds of call", () => {
    const model = learnStepTimes(prefillMs);
    assert.ok(Math.abs(model.decodeMs({ numDecodeRows: 8, usedTokens: 0 }) - 26) < 1);
    assert.ok(Math.abs(model.prefillMs(256, 512) - prefillMs(256, 512)) < 30);
  });

  test("knows that few rows pay more for depth, and a part of a tile as much as a whole one", () => {
    const tiled = learnStepTimes(tiledPrefillMs);
    for (const [numTokens, depth] of [
      [16, 1_500],
      [48, 200],
      [64, 1_500],
      [80, 1_500],
      [127, 1_000],
      [256, 800],
    ] as const) {
      const expected = tiledPrefillMs(numTokens, depth);
      assert.ok(Math.abs(tiled.prefillMs(numTokens, depth) - expected) < 0.05 * expected);
    }
  });

  test("gets over a seed that was learned beside other load, from small chunks alone", () => {
    const slow = learnStepTimes((numTokens, depth) => 10 * prefillMs(numTokens, depth));
    const model = new StepTimeModel();
    assert.ok(model.restore(slow.snapshot()));
    for (let index = 0; index < 10; index += 1) {
      const numTokens = 8 + 4 * (index % 6);
      const batch = createBatch("prefill", numTokens, 20 * index);
      model.observe({ batch, usedTokens: 0, durationMs: prefillMs(numTokens, 20 * index) });
    }
    assert.ok(Math.abs(model.prefillMs(64, 0) - prefillMs(64, 0)) < 0.2 * prefillMs(64, 0));
    assert.ok(model.prefillMs(512, 0) < 2 * prefillMs(512, 0));
  });
});
