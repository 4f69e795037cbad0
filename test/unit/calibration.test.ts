import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, it, test } from "node:test";
import { createFakeModelInfo, FakeModelRunner } from "../../models/fake-model-runner.ts";
import type { ModelInfo } from "../../models/model-info.ts";
import { StepTimeModel } from "../../scheduler/step-time-model.ts";
import { calibrate } from "../../src/engine/calibration.ts";
import { learnStepTimes } from "../../src/engine/learn-step-times.ts";
import { circumstances, stillValid } from "../../src/engine/start-measurements.ts";
import { StepTimeStore } from "../../src/engine/step-time-store.ts";

/** A runner whose calls take 5 ms + 1 ms a decode row, or 10 ms + 0.5 ms a prefill token, on a clock of its own. */
function createTimedRunner(info?: ModelInfo, slowdown: () => number = () => 1) {
  const clock = { nowMs: 0, numCalls: 0 };
  const runner = new FakeModelRunner({
    ...(info && { info }),
    onExecute: ({ kind, numTokens }) => {
      clock.numCalls++;
      clock.nowMs += slowdown() * (kind === "decode" ? 5 + numTokens : 10 + numTokens / 2);
    },
  });
  return { runner, clock, now: () => clock.nowMs };
}

describe("calibrate", () => {
  it("learns what calls cost, and leaves the memory empty", () => {
    const { runner, now } = createTimedRunner();
    const stepTimes = new StepTimeModel();
    calibrate({ runner, stepTimes, now, budgetMs: 10_000 });
    assert.ok(Math.abs(stepTimes.decodeMs({ numDecodeRows: 8, usedTokens: 100 }) - 13) < 1);
    assert.ok(Math.abs(stepTimes.prefillMs(256, 0) - 138) < 10);
    assert.equal(runner.numUsedCells(), 0);
  });

  it("stops at its budget, but never without a call of each kind", () => {
    const { runner, clock, now } = createTimedRunner();
    const stepTimes = new StepTimeModel();
    calibrate({ runner, stepTimes, now, budgetMs: 0 });
    assert.equal(clock.numCalls, 6, "four decode calls of one row and two prefill calls");
    assert.ok(stepTimes.decodeMs({ numDecodeRows: 1, usedTokens: 1 }) > 0);
    assert.ok(stepTimes.prefillMs(64, 0) > 0);
  });
});

describe("calibration of a small memory", () => {
  for (const numBlocks of [1, 3, 16, 17]) {
    it(`never asks for more than its ${numBlocks} blocks`, () => {
      const numTokens = numBlocks * 16;
      const info = createFakeModelInfo({ maxModelLen: numTokens, kvPool: { numBlocks } });
      const { runner, now } = createTimedRunner(info);
      calibrate({ runner, stepTimes: new StepTimeModel(), now, budgetMs: 10_000 });
      assert.equal(runner.numUsedCells(), 0);
    });
  }
});

describe("learnStepTimes", () => {
  /** The first calls have two threads on one core and take ten times as long; all later ones have one thread. */
  function learnBesideLoad(numDisturbed: number) {
    const isDisturbed = (): boolean => clock.numCalls <= numDisturbed;
    const info = createFakeModelInfo({ numThreads: 2 });
    const { runner, clock, now } = createTimedRunner(info, () => (isDisturbed() ? 10 : 1));
    const governed = Object.assign(runner, { numThreads: 2 });
    Object.defineProperty(governed, "numThreads", { get: () => (isDisturbed() ? 2 : 1) });
    const stepTimes = new StepTimeModel();
    const saved: unknown[] = [];
    const store = { load: () => null, save: (snapshot: unknown) => saved.push(snapshot) };
    learnStepTimes({ runner: governed, stepTimes, known: null, store, now });
    return { stepTimes, saved, numCalls: clock.numCalls };
  }

  it("calibrates once while all threads have their cores, and keeps what it learned", () => {
    const { stepTimes, saved, numCalls } = learnBesideLoad(Infinity);
    assert.deepEqual(saved, [stepTimes.snapshot()]);
    assert.ok(numCalls < 40);
  });

  it("forgets a calibration in which a thread was given up, and keeps none", () => {
    const { stepTimes, saved } = learnBesideLoad(10);
    assert.ok(Math.abs(stepTimes.decodeMs({ numDecodeRows: 4, usedTokens: 100 }) - 9) < 1);
    assert.deepEqual(saved, []);
  });

  it("takes over what the engine before it knew, without a call", () => {
    const { stepTimes: before } = learnBesideLoad(Infinity);
    const { runner, clock, now } = createTimedRunner();
    const governed = Object.assign(runner, { numThreads: runner.info.numThreads });
    const stepTimes = new StepTimeModel();
    learnStepTimes({ runner: governed, stepTimes, known: before.snapshot(), store: null, now });
    assert.equal(clock.numCalls, 0);
    assert.equal(stepTimes.prefillMs(64, 0), before.prefillMs(64, 0));
  });
});

test("what an engine has measured counts for the next one with the same backend, build, layout and threads", () => {
  const info = createFakeModelInfo();
  const stepTimes = new StepTimeModel().snapshot();
  const measured = { on: circumstances(info), layoutCosts: null, copyCost: null, rowMultiple: 2, stepTimes };
  const afterIpc = structuredClone(measured);
  assert.equal(stillValid(afterIpc, createFakeModelInfo()), afterIpc);
  assert.equal(stillValid(afterIpc, createFakeModelInfo({ backend: "cuda" })), null);
  assert.equal(stillValid(null, info), null);
});

describe("StepTimeStore", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "headway-step-times-"));
  after(() => {
    rmSync(folder, { recursive: true });
  });

  function learn(): StepTimeModel {
    const { runner, now } = createTimedRunner();
    const stepTimes = new StepTimeModel();
    calibrate({ runner, stepTimes, now, budgetMs: 10_000 });
    return stepTimes;
  }

  it("gives back what was learned", () => {
    const learned = learn();
    new StepTimeStore(folder, createFakeModelInfo()).save(learned.snapshot());
    const restored = new StepTimeModel();
    assert.ok(restored.restore(new StepTimeStore(folder, createFakeModelInfo()).load()!));
    const load = { numDecodeRows: 5, usedTokens: 300 };
    assert.ok(Math.abs(restored.decodeMs(load) - learned.decodeMs(load)) < 0.1);
  });

  it("knows nothing of another model", () => {
    const other = createFakeModelInfo({ numParameters: 7 });
    assert.equal(new StepTimeStore(folder, other).load(), null);
  });

  it("ignores a file that was damaged", () => {
    const [name] = readdirSync(folder);
    for (const damage of ["", "null", '{"decode":{}}', '{"decode":1,"prefill":2}']) {
      writeFileSync(path.join(folder, name!), damage);
      assert.equal(new StepTimeStore(folder, createFakeModelInfo()).load(), null);
    }
    writeFileSync(
      path.join(folder, name!),
      '{"decode":{"moments":[[1]],"targets":["x"]},"prefill":{"moments":[],"targets":[]}}',
    );
    assert.equal(
      new StepTimeModel().restore(new StepTimeStore(folder, createFakeModelInfo()).load()!),
      false,
    );
  });
});
