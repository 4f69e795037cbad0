import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { PrefillPace } from "../../../scheduler/prefill-pace.ts";
import { StepTimeModel } from "../../../scheduler/step-time-model.ts";
import { learnStepTimes, prefillMs, tiledPrefillMs } from "../../support/step-times.ts";

/** 8 rows take 26 ms; the middle of a long prompt. */
const LOAD = {
  numDecodeRows: 8,
  usedTokens: 0,
  numTokens: 64 * 256,
  depth: 0,
  maxTokens: 2_048,
  targetItlMs: 200,
  stretch: 1,
  wantedItlMs: Infinity,
  copyMs: 0,
};
const DECODE_MS = 26;

describe("PrefillPace", () => {
  const pace = new PrefillPace(learnStepTimes(prefillMs));
  const tiled = new PrefillPace(learnStepTimes(tiledPrefillMs));

  test("lets prompts share a call as far as larger calls are faster for each token", () => {
    assert.equal(new PrefillPace(new StepTimeModel()).sharedCallLimit(), 512);
    assert.equal(pace.sharedCallLimit(), 256);
    assert.equal(new PrefillPace(learnStepTimes((size) => 20 + 0.01 * size)).sharedCallLimit(), 512);
  });

  test("knows the shortest call with which a step takes at most a quarter longer for each token", () => {
    const none = { numDecodeRows: 0, usedTokens: 0 };
    assert.equal(new PrefillPace(new StepTimeModel()).nimbleCall(LOAD), 512);
    assert.equal(pace.nimbleCall(none), 64);
    assert.equal(pace.nimbleCall(LOAD), 64);
    assert.equal(pace.nimbleCall({ ...LOAD, numDecodeRows: 64 }), 192, "with a decode call of 138 ms");
    assert.equal(new PrefillPace(learnStepTimes((size) => 20 + 0.01 * size)).nimbleCall(none), 448);
  });

  test("what it chooses by itself may grow, and is a tile at least", () => {
    const own = { ...LOAD, numDecodeRows: 32, targetItlMs: null };
    assert.equal(pace.budget(own), 112);
    assert.equal(pace.budget({ ...own, stretch: 2 }), 256);
    assert.equal(pace.budget({ ...own, stretch: 1.01, depth: 20_000 }), 64);
    assert.ok(pace.budget({ ...own, targetItlMs: 100, stretch: 2 }) < 64, "a target does not");
  });

  test("uses what little room a target leaves", () => {
    const limitMs = DECODE_MS + prefillMs(12, 1_000) + 1;
    assert.equal(pace.budget({ ...LOAD, depth: 1_000, targetItlMs: limitMs }), 12);
  });

  test("gives the highest rung that fits the target beside the decode call", () => {
    assert.equal(pace.budget(LOAD), 64);
    assert.equal(pace.budget({ ...LOAD, targetItlMs: 400 }), 128);
    assert.equal(pace.budget({ ...LOAD, targetItlMs: 3_000 }), 1_024);
    assert.equal(pace.budget({ ...LOAD, targetItlMs: 3_000, maxTokens: 300 }), 256);
  });

  test("keeps to what a stream wants, but computes a tile at least for it", () => {
    assert.equal(pace.budget({ ...LOAD, targetItlMs: 3_000, wantedItlMs: 400 }), 128);
    assert.equal(pace.budget({ ...LOAD, targetItlMs: null, wantedItlMs: 1 }), 64);
    assert.equal(pace.budget({ ...LOAD, targetItlMs: 3_000, wantedItlMs: 1 }), 64);
    assert.equal(
      pace.budget({ ...LOAD, targetItlMs: 80, wantedItlMs: 400 }),
      pace.budget({ ...LOAD, targetItlMs: 80 }),
    );
  });

  test("leaves room for the copies of the step, down to the smallest rung", () => {
    assert.equal(pace.budget({ ...LOAD, targetItlMs: 400, copyMs: 200 }), 64);
    assert.equal(pace.budget({ ...LOAD, targetItlMs: 400, copyMs: 1_000 }), 8);
    assert.equal(
      pace.budget({ ...LOAD, numDecodeRows: 0, copyMs: 1_000 }),
      2_048,
      "nobody waits for a token",
    );
  });

  test("gives less at depth, where a token costs more", () => {
    assert.equal(pace.budget({ ...LOAD, targetItlMs: 330 }), 128);
    assert.ok(pace.budget({ ...LOAD, targetItlMs: 330, depth: 4_096 }) < 80);
  });

  test("gives the smallest rung when nothing fits, so that prompts never stand still", () => {
    assert.equal(pace.budget({ ...LOAD, targetItlMs: 1 }), 8);
    assert.equal(tiled.budget({ ...LOAD, targetItlMs: null, depth: 8_000 }), 64, "a tile without a target");
  });

  test("gives a whole tile instead of a part of another where that gets more done", () => {
    const deep = { ...LOAD, depth: 1_500 };
    const limitMs = DECODE_MS + tiledPrefillMs(80, deep.depth) + 5;
    assert.equal(tiled.budget({ ...deep, targetItlMs: limitMs }), 64);
    assert.ok(tiled.budget({ ...deep, targetItlMs: 150 }) < 64, "no room for a tile");
  });

  test("puts the odd part of a prompt first, where looking back is cheap", () => {
    const start = { ...LOAD, targetItlMs: 340 };
    assert.equal(tiled.budget({ ...start, numTokens: 28 + 12 * 128 }) % 64, 28);
    assert.equal(tiled.budget({ ...start, numTokens: 1_536 }), 128, "nothing is odd");
  });

  test("finishes a prompt whose end would be slow by itself", () => {
    const end = { ...LOAD, depth: 2_000 };
    const limitMs = DECODE_MS + tiledPrefillMs(96, end.depth) + 5;
    assert.equal(tiled.budget({ ...end, targetItlMs: limitMs, numTokens: 92 }), 92);
    assert.equal(tiled.budget({ ...end, targetItlMs: limitMs, numTokens: 120 }), 96, "or as much as fits");
  });

  test("takes the largest call when nobody decodes, less an end that would be slow", () => {
    const alone = { ...LOAD, numDecodeRows: 0, targetItlMs: null, maxTokens: 512 };
    assert.equal(tiled.budget({ ...alone, numTokens: 2_048 }), 512);
    assert.equal(tiled.budget({ ...alone, numTokens: 40 }), 512, "others may come along");
    assert.equal(tiled.budget({ ...alone, numTokens: 48 + 8 * 512, depth: 4_000 }) % 64, 48);
  });

  test("without a target takes the smallest chunk that slows a prompt by at most a tenth", () => {
    const middle = { ...LOAD, numTokens: 96 * 10, numDecodeRows: 6, targetItlMs: null, depth: 768 };
    const stepMs = (chunk: number): number => 10 + 2 * middle.numDecodeRows + tiledPrefillMs(chunk, 768);
    const slowdown = (chunk: number): number => stepMs(chunk) / chunk / (tiledPrefillMs(512, 768) / 512);
    assert.ok(slowdown(64) > 1.11 && slowdown(80) > 1.11 && slowdown(96) < 1.095);
    assert.ok(Math.abs(tiled.defaultItlMs(middle) - stepMs(96)) < 15);
    assert.equal(tiled.budget(middle), 96);
  });

  test("without a target still keeps the gap below three tenths of the largest call", () => {
    const many = { ...LOAD, numTokens: 112 * 10, numDecodeRows: 32, targetItlMs: null };
    assert.ok(Math.abs(pace.defaultItlMs(many) - 0.3 * prefillMs(512, 0)) < 10);
    assert.equal(pace.budget(many), 112);
  });

  test("starts with a moderate chunk before it has seen a prefill", () => {
    const untrained = new PrefillPace(new StepTimeModel());
    assert.equal(untrained.budget({ ...LOAD, targetItlMs: 5 }), 64);
    assert.equal(untrained.budget({ ...LOAD, numDecodeRows: 0 }), 2_048);
  });

  test("always gives at least 8 tokens or a whole call, keeps to the target where a rung does, and ends", () => {
    const loads = fc.record({
      numDecodeRows: fc.integer({ min: 0, max: 32 }),
      usedTokens: fc.integer({ min: 0, max: 30_000 }),
      numTokens: fc.integer({ min: 1, max: 20_000 }),
      depth: fc.integer({ min: 0, max: 8_000 }),
      maxTokens: fc.integer({ min: 8, max: 4_096 }),
      targetItlMs: fc.option(fc.integer({ min: 1, max: 5_000 })),
      stretch: fc.double({ min: 1, max: 2, noNaN: true }),
      wantedItlMs: fc.constantFrom(Infinity, 1, 300),
      copyMs: fc.integer({ min: 0, max: 200 }),
    });
    fc.assert(
      fc.property(loads, fc.constantFrom(pace, tiled), (load, each) => {
        const budget = each.budget(load);
        assert.ok(budget >= 8 && budget <= load.maxTokens);
        if (load.numDecodeRows === 0 || budget <= 64) return;
        const ownMs = load.targetItlMs ?? load.stretch * each.defaultItlMs(load);
        const limitMs = Math.min(ownMs, load.wantedItlMs);
        const timeOf = each === pace ? prefillMs : tiledPrefillMs;
        const stepMs = load.copyMs + 10 + 2 * load.numDecodeRows + timeOf(budget, load.depth);
        assert.ok(stepMs <= 1.1 * limitMs + 10, `${budget} tokens: ${stepMs} of ${limitMs} ms`);
      }),
    );
  });
});
