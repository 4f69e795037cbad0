import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Batch } from "../../../scheduler/contracts.ts";
import { StepTimeModel } from "../../../scheduler/step-time-model.ts";
import { createSamplingParams } from "../../support/scheduler-builders.ts";

const VIEW = { requestId: "", seqId: 0, tokens: [], numPromptTokens: 0, sampling: createSamplingParams() };

function batch(kind: Batch["kind"], numTokens: number, start = 0): Batch {
  const row = { sequence: VIEW, start, numTokens, logits: "none", sample: false } as const;
  return { kind, rows: [row], numTokens };
}

function prefillMs(numTokens: number, depth: number): number {
  return 8 + 2.2 * numTokens + 0.0005 * numTokens * (depth + numTokens / 2);
}

/** A machine on which a decode takes 10 + 2 ms a row. */
function createTrainedModel(): StepTimeModel {
  const model = new StepTimeModel();
  for (let index = 0; index < 200; index += 1) {
    const numRows = 1 + (index % 16);
    model.observe({ batch: batch("decode", numRows), usedTokens: 0, durationMs: 10 + 2 * numRows });
    const numTokens = [16, 64, 128, 512][index % 4]!;
    const depth = 256 * (index % 5);
    model.observe({
      batch: batch("prefill", numTokens, depth),
      usedTokens: 0,
      durationMs: prefillMs(numTokens, depth),
    });
  }
  return model;
}

describe("StepTimeModel", () => {
  const model = createTrainedModel();
  const load = { numDecodeRows: 8, usedTokens: 0, depth: 0, targetItlMs: 200 };

  test("lets prompts share a call as far as larger calls are faster for each token", () => {
    assert.equal(new StepTimeModel().sharedCallLimit(), 512);
    assert.equal(model.sharedCallLimit(), 256);
    const gpu = new StepTimeModel();
    for (const numTokens of [16, 64, 128, 256, 512, 16, 64, 128, 256, 512]) {
      gpu.observe({ batch: batch("prefill", numTokens), usedTokens: 0, durationMs: 20 + 0.01 * numTokens });
    }
    assert.equal(gpu.sharedCallLimit(), 512);
  });

  test("predicts both kinds of call", () => {
    assert.ok(Math.abs(model.decodeMs({ numDecodeRows: 8, usedTokens: 0 }) - 26) < 1);
    assert.ok(Math.abs(model.prefillMs(256, 512) - prefillMs(256, 512)) < 30);
  });

  test("gives the highest rung that fits the target beside the decode call", () => {
    assert.equal(model.prefillBudget(load), 64);
    assert.equal(model.prefillBudget({ ...load, targetItlMs: 400 }), 128);
    assert.equal(model.prefillBudget({ ...load, targetItlMs: 3_000 }), 1_024);
  });

  test("gives less at depth, where a token costs more", () => {
    assert.equal(model.prefillBudget({ ...load, targetItlMs: 330 }), 128);
    assert.equal(model.prefillBudget({ ...load, targetItlMs: 330, depth: 4_096 }), 64);
  });

  test("gives the smallest rung when nothing fits, so that prompts never stand still", () => {
    assert.equal(model.prefillBudget({ ...load, targetItlMs: 1 }), 8);
  });

  test("without a target takes the smallest chunk that slows a prompt by at most a quarter", () => {
    const slowdown = (chunk: number, decodeMs: number): number => {
      return (decodeMs + prefillMs(chunk, 0)) / chunk / (prefillMs(512, 0) / 512);
    };
    assert.ok(slowdown(32, 26) > 1.25 && slowdown(64, 26) <= 1.25);
    assert.equal(model.prefillBudget({ ...load, targetItlMs: null }), 64);
    assert.ok(
      Math.abs(model.defaultItlMs({ numDecodeRows: 8, usedTokens: 0 }) - (26 + prefillMs(64, 512))) < 15,
    );
  });

  test("without a target still keeps the gap below three tenths of the largest call", () => {
    const many = { numDecodeRows: 32, usedTokens: 0 };
    assert.ok(Math.abs(model.defaultItlMs(many) - 0.3 * prefillMs(512, 0)) < 10);
    assert.equal(model.prefillBudget({ ...load, ...many, targetItlMs: null }), 112);
  });

  test("knows that few rows pay more for depth, and without a target never takes so few", () => {
    const tiled = new StepTimeModel();
    const slowMs = (numTokens: number, depth: number): number => {
      const perPair = numTokens < 64 ? 0.002 : 0.0005;
      return 8 + 2.2 * numTokens + perPair * numTokens * (depth + numTokens / 2);
    };
    for (let index = 0; index < 300; index += 1) {
      tiled.observe({ batch: batch("decode", 8), usedTokens: 0, durationMs: 26 });
      const numTokens = [16, 48, 64, 256][index % 4]!;
      const depth = 500 * (index % 3);
      const observed = { batch: batch("prefill", numTokens, depth), usedTokens: 0 };
      tiled.observe({ ...observed, durationMs: slowMs(numTokens, depth) });
    }
    for (const [numTokens, depth] of [
      [16, 1_500],
      [48, 200],
      [64, 1_500],
      [256, 800],
    ] as const) {
      const expected = slowMs(numTokens, depth);
      assert.ok(Math.abs(tiled.prefillMs(numTokens, depth) - expected) < 0.05 * expected);
    }
    const deep = { ...load, depth: 3_000 };
    assert.ok(tiled.prefillBudget({ ...deep, targetItlMs: 200 }) < 64);
    assert.equal(tiled.prefillBudget({ ...deep, targetItlMs: null }), 64);
  });

  test("starts with a moderate chunk before it has seen a prefill", () => {
    assert.equal(new StepTimeModel().prefillBudget({ ...load, targetItlMs: 5 }), 64);
  });
});
