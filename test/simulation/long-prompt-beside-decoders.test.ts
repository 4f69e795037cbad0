import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Batch } from "../../scheduler/contracts.ts";
import { FakeEngine, range } from "../support/scheduler-builders.ts";

const PROMPT_LENGTH = 1_500;
const DECODE_MS = 26;

/** A two-core CPU with a 135M model: 26 ms for 8 decode rows, 1.1 s for 512 prompt tokens. */
function callMs(batch: Batch): number {
  if (batch.kind === "decode") return 10 + 2 * batch.numTokens;
  const numAttended = batch.rows.reduce(
    (sum, row) => sum + row.numTokens * (row.start + row.numTokens / 2),
    0,
  );
  return 8 + 2.1 * batch.numTokens + 0.0005 * numAttended;
}

/** The same, every call up to 10 % off either way. */
function createNoisyMachine(): (batch: Batch) => number {
  let numCalls = 0;
  return (batch) => callMs(batch) * (1 + 0.1 * Math.sin(numCalls++ * 12.9898));
}

interface Setting {
  readonly targetItlMs: number | null;
  readonly maxNumBatchedTokens?: number;
  readonly numDecoders?: number;
  /** More long prompts that arrive with it, and wait behind it. */
  readonly numBehind?: number;
  readonly machine?: (batch: Batch) => number;
}

interface Outcome {
  /** Duration of each step in which the prompt was being computed. */
  readonly stepMs: readonly number[];
  readonly ttftMs: number;
}

/** Eight streams decode, a long prompt arrives: three times, the third counts, the others train the model. */
function runIntruder(setting: Setting): Outcome {
  const { targetItlMs, maxNumBatchedTokens = 512, numDecoders = 8, machine } = setting;
  const engine = new FakeEngine({
    kv: { numBlocks: 1_024, blockSize: 16, numSeqIds: 64, maxCachedBlocks: 0 },
    scheduler: { maxNumSeqs: 16, maxNumBatchedTokens, maxModelLen: 2_048, targetItlMs },
  });
  engine.callMs = machine ?? createNoisyMachine();
  for (let index = 0; index < numDecoders; index += 1) {
    engine.add({ requestId: `decoder-${index}`, tokens: range(100 * index, 100), maxTokens: 1_900 });
  }
  for (let count = 0; count < 50; count += 1) engine.step();
  let outcome: Outcome | null = null;
  for (const round of [1, 2, 3]) {
    const numBehind = round === 3 ? (setting.numBehind ?? 0) : 0;
    outcome = runPrompt(engine, round, numBehind);
  }
  return outcome!;
}

function runPrompt(engine: FakeEngine, round: number, numBehind: number): Outcome {
  const startMs = engine.nowMs;
  const stepMs: number[] = [];
  const requestId = `intruder-${round}`;
  for (let index = 0; index <= numBehind; index += 1) {
    const tokens = range(10_000 * round + 2_000 * index, PROMPT_LENGTH);
    engine.add({ requestId: index === 0 ? requestId : `behind-${index}`, tokens, maxTokens: 1 });
  }
  while (engine.finishOf(requestId) === undefined) {
    const before = engine.nowMs;
    assert.notEqual(engine.step(), null);
    stepMs.push(engine.nowMs - before);
  }
  return { stepMs, ttftMs: engine.nowMs - startMs };
}

/** Times of the first tokens of prompts that arrive together with nobody decoding, on a machine already known. */
function burstTtftsMs(numPrompts: number, promptLength: number): number[] {
  const engine = new FakeEngine({
    kv: { numBlocks: 1_024, blockSize: 16, numSeqIds: 64, maxCachedBlocks: 0 },
    scheduler: { maxNumSeqs: 16, maxNumBatchedTokens: 512, maxModelLen: 2_048 },
  });
  engine.callMs = callMs;
  for (const length of [64, 512, 128, 256]) engine.add({ requestId: `${length}`, tokens: range(1, length) });
  engine.drain();
  const startMs = engine.nowMs;
  const ids = Array.from({ length: numPrompts }, (_, index) => `prompt-${index}`);
  for (const [index, requestId] of ids.entries())
    engine.add({ requestId, tokens: range(1_000 * (index + 1), promptLength), maxTokens: 8 });
  const ttfts = new Map<string, number>();
  while (engine.step() !== null) {
    for (const requestId of ids)
      if (!ttfts.has(requestId) && engine.tokensOf(requestId).length > 0)
        ttfts.set(requestId, engine.nowMs - startMs);
  }
  return ids.map((requestId) => ttfts.get(requestId)!);
}

describe("Prompts that arrive together", () => {
  test("share a call only up to where a larger one saves next to nothing", () => {
    const ttftsMs = burstTtftsMs(4, 128);
    const oneCallMs = 8 + 2.1 * 512;
    assert.ok(ttftsMs[0]! < 0.6 * oneCallMs, ttftsMs.join());
    assert.equal(ttftsMs[0], ttftsMs[1]);
    assert.ok(ttftsMs[2]! > ttftsMs[1]!);
  });
});

describe("A long prompt beside eight decoding streams", () => {
  const oneShot = runIntruder({ targetItlMs: 1e9, maxNumBatchedTokens: 2_048, machine: callMs });
  const oneShotMs = Math.max(...oneShot.stepMs);

  test("stalls them for seconds when it is computed at once", () => {
    assert.equal(oneShot.stepMs.length, 1);
    assert.ok(oneShotMs > 3_000);
  });

  for (const factor of [3, 6, 12]) {
    test(`keeps every step within the target of ${factor} decode steps`, () => {
      const target = factor * DECODE_MS;
      const { stepMs } = runIntruder({ targetItlMs: target });
      const longest = Math.max(...stepMs);
      assert.ok(longest <= 1.3 * target, `${longest} ms`);
      assert.ok(longest >= 0.4 * target, `${longest} ms: the budget is not used`);
    });
  }

  test("without a target, takes a tenth of the stall at most a quarter later", () => {
    const { stepMs, ttftMs } = runIntruder({ targetItlMs: null });
    assert.ok(Math.max(...stepMs) <= oneShotMs / 10, `${Math.max(...stepMs)} ms of ${oneShotMs}`);
    assert.ok(ttftMs <= 1.25 * oneShot.ttftMs, `${ttftMs} ms`);
  });

  test("without a target, is read in larger chunks while others wait behind it, up to twice the gap", () => {
    const alone = runIntruder({ targetItlMs: null, machine: callMs });
    const ahead = runIntruder({ targetItlMs: null, machine: callMs, numBehind: 2 });
    const longest = ({ stepMs }: Outcome): number => Math.max(...stepMs);
    assert.ok(ahead.ttftMs < 0.97 * alone.ttftMs, `${ahead.ttftMs} and ${alone.ttftMs} ms`);
    assert.ok(longest(ahead) > 1.3 * longest(alone) && longest(ahead) < 2.3 * longest(alone));
    const target = { targetItlMs: 6 * DECODE_MS, machine: callMs };
    assert.equal(longest(runIntruder({ ...target, numBehind: 2 })), longest(runIntruder(target)));
  });

  test("runs at full speed when nobody decodes", () => {
    const { stepMs } = runIntruder({ targetItlMs: 3 * DECODE_MS, numDecoders: 0 });
    assert.equal(stepMs.length, Math.ceil(PROMPT_LENGTH / 512));
  });
});

describe("Prompts that arrive together", () => {
  test("stream one after the other: the first token of the first comes long before the last's", () => {
    const engine = new FakeEngine({
      kv: { numBlocks: 1_024, blockSize: 16, numSeqIds: 64 },
      scheduler: { maxNumSeqs: 16, maxNumBatchedTokens: 512, maxModelLen: 2_048 },
    });
    engine.callMs = callMs;
    const firstTokenMs = new Map<string, number>();
    for (let index = 0; index < 16; index += 1) {
      engine.add({ requestId: `request-${index}`, tokens: range(1_000 * index, 128), maxTokens: 64 });
    }
    const noteFirstTokens = (): void => {
      for (const event of engine.events.splice(0)) {
        if (event.kind !== "token" || firstTokenMs.has(event.sample.requestId)) continue;
        firstTokenMs.set(event.sample.requestId, engine.nowMs);
      }
    };
    while (engine.step(noteFirstTokens) !== null);
    const times = [...firstTokenMs.values()];
    assert.equal(times.length, 16);
    const wholeBurstMs = 16 * 128 * 2.1;
    assert.ok(times[0]! <= 0.3 * wholeBurstMs && times[7]! <= 0.6 * Math.max(...times), times.join(" "));
  });
});
