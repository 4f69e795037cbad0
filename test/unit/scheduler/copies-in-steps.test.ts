import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { KvCacheOptions } from "../../../kvcache/kv-cache-options.ts";
import type { StepPlan } from "../../../scheduler/contracts.ts";
import { FakeEngine, range } from "../../support/scheduler-builders.ts";

/** One sequence decodes all the time; a prefill token takes 1 ms, and a saved one 2 ms. */
function createEngine(targetItlMs: number, kv: Partial<KvCacheOptions> = {}): FakeEngine {
  const engine = new FakeEngine({
    kv: { numBlocks: 256, maxCachedBlocks: 0, maxHostBlocks: 512, hostSegmentBlocks: 512, ...kv },
    scheduler: { targetItlMs, maxNumBatchedTokens: 256 },
  });
  engine.callMs = ({ kind, numTokens }) => (kind === "decode" ? 1 : numTokens);
  engine.add({ requestId: "a", tokens: range(0, 8), maxTokens: 200 });
  for (let index = 0; index < 40; index += 1) {
    const numTokens = 32 * (1 + (index % 4));
    engine.add({ requestId: `${index}`, tokens: range(5_000 + 200 * index, numTokens), maxTokens: 1 });
    engine.step();
    const saved = { kind: "save", slot: 0, seqId: 0, fromPosition: 0, toPosition: numTokens } as const;
    engine.scheduler.copyTimes.observe([saved], 2 * numTokens);
  }
  return engine;
}

function prefillTokens(plan: StepPlan | null): number {
  return plan?.batches.find(({ kind }) => kind === "prefill")?.numTokens ?? 0;
}

function copiedTokens(plan: StepPlan | null): number {
  const copies = (plan?.cacheOps ?? []).filter((it) => it.kind === "save" || it.kind === "restore");
  return copies.reduce((sum, { fromPosition, toPosition }) => sum + toPosition - fromPosition, 0);
}

describe("A step that copies KV state", () => {
  test("computes less of a prompt, so that its time is kept", () => {
    const engine = createEngine(80);
    while (engine.scheduler.stats().numRunning > 1 || engine.kv.hasOps) engine.step();
    engine.add({ requestId: "saved", tokens: range(1_000, 32), maxTokens: 1 });
    engine.step();
    engine.add({ requestId: "next", tokens: range(2_000, 200), maxTokens: 1 });
    const copying = engine.step();
    const plain = engine.step();
    assert.ok(copying?.cacheOps.some(({ kind }) => kind === "save"));
    assert.ok(!plain?.cacheOps.some(({ kind }) => kind === "save"));
    assert.ok(prefillTokens(copying) <= 16, `${prefillTokens(copying)} tokens beside a copy of 64 ms`);
    assert.ok(prefillTokens(plain) >= 40, `${prefillTokens(plain)} tokens without one`);
  });

  test("counts what is copied ahead", () => {
    const kv = { numBlocks: 320, maxCachedBlocks: Infinity, numSeqIds: 64, hostSegmentBlocks: 4 };
    const engine = createEngine(80, kv);
    assert.ok(engine.kv.counts().free < 32);
    engine.add({ requestId: "long", tokens: range(50_000, 640), maxTokens: 1 });
    let mostCopied = 0;
    while (engine.finishOf("long") === undefined) {
      const plan = engine.step();
      mostCopied = Math.max(mostCopied, copiedTokens(plan));
      const stepMs = 1 + prefillTokens(plan) + 2 * copiedTokens(plan);
      assert.ok(prefillTokens(plan) <= 8 || stepMs <= 80, `a step of ${stepMs} ms`);
    }
    assert.ok(mostCopied >= 64, "copies of all that the target allows");
  });

  test("admits no more when the copies for one that it admits have used up its time", () => {
    const engine = createEngine(80);
    engine.add({ requestId: "saved", tokens: range(1_000, 32), maxTokens: 1 });
    while (engine.scheduler.stats().numRunning > 1 || engine.kv.hasOps) engine.step();
    engine.add({ requestId: "first", tokens: range(2_000, 20), maxTokens: 1 });
    engine.add({ requestId: "restored", tokens: [...range(1_000, 32), ...range(3_000, 40)], maxTokens: 1 });
    engine.add({ requestId: "last", tokens: range(4_000, 100), maxTokens: 1 });
    const copying = engine.step();
    assert.equal(copiedTokens(copying), 32);
    assert.equal(prefillTokens(copying), 20);
    assert.equal(engine.scheduler.stats().numWaiting, 1);
    engine.drain();
    assert.ok(["first", "restored", "last"].every((requestId) => engine.finishOf(requestId) === "length"));
  });
});
