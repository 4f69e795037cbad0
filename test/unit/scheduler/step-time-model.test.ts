import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { learnStepTimes, prefillMs, tiledPrefillMs } from "../../support/step-times.ts";

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
});
