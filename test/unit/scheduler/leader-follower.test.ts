import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { StepPlan } from "../../../scheduler/contracts.ts";
import {
  createSamplingParams,
  FakeEngine,
  type FakeEngineOptions,
  range,
} from "../../support/scheduler-builders.ts";

const SHARED = range(0, 32);

/** A leader and a follower with 32 of 40 tokens in common, and budget for both in one step. */
function createEngine(options: FakeEngineOptions = {}): FakeEngine {
  const engine = new FakeEngine({
    ...options,
    kv: { numBlocks: 64, ...options.kv },
    scheduler: { maxNumBatchedTokens: 128, maxNumSeqs: 8, ...options.scheduler },
  });
  engine.add({ requestId: "leader", tokens: [...SHARED, ...range(100, 8)] });
  engine.add({ requestId: "follower", tokens: [...SHARED, ...range(200, 8)] });
  return engine;
}

function rowsOf(plan: StepPlan | null): string[] {
  return plan!.batches.flatMap((batch) => batch.rows.map((row) => row.sequence.requestId));
}

function numCachedTokens(engine: FakeEngine, requestId: string): number | undefined {
  const event = engine.events.find((it) => it.kind === "scheduled" && it.requestId === requestId);
  return event?.kind === "scheduled" ? event.numCachedTokens : undefined;
}

describe("A sequence whose prefix another one computes in this step", () => {
  test("waits for the next step and shares it", () => {
    const engine = createEngine();
    assert.deepEqual(rowsOf(engine.step()), ["leader"]);
    const plan = engine.step();
    assert.deepEqual(plan!.cacheOps, [{ kind: "share", from: 0, to: 1, numTokens: 32 }]);
    assert.deepEqual(rowsOf(plan), ["leader", "follower"]);
    assert.equal(engine.scheduler.stats().numPromptTokensComputed, 40 + 8);
  });

  test("does not hold up those behind it", () => {
    const engine = createEngine();
    engine.add({ requestId: "other", tokens: range(300, 40) });
    assert.deepEqual(rowsOf(engine.step()), ["leader", "other"]);
  });

  test("waits for a prompt in chunks until its last one", () => {
    const engine = createEngine({ scheduler: { maxNumBatchedTokens: 32 } });
    engine.drain();
    assert.equal(numCachedTokens(engine, "follower"), 32);
  });

  test("all choices of a request compute their prompt once", () => {
    const engine = new FakeEngine({ kv: { numBlocks: 64 }, scheduler: { maxNumSeqs: 8 } });
    for (const index of range(0, 8)) engine.add({ requestId: `choice-${index}`, tokens: SHARED });
    engine.drain();
    // The last block holds the token that each must compute itself to get logits.
    assert.equal(engine.scheduler.stats().numPromptTokensComputed, 32 + 7 * 4);
  });

  test("goes first when none of the others has started", () => {
    const engine = createEngine();
    engine.add({ requestId: "urgent", tokens: [...SHARED, 400], priority: -1 });
    assert.deepEqual(rowsOf(engine.step()), ["urgent"]);
  });

  test("does not wait for what the cache has", () => {
    const engine = createEngine();
    engine.drain();
    const sampling = createSamplingParams({ promptLogprobs: 0 });
    engine.add({ requestId: "computes all", tokens: SHARED, sampling });
    engine.add({ requestId: "shares", tokens: SHARED });
    assert.deepEqual(rowsOf(engine.step()), ["computes all", "shares"]);
    assert.equal(numCachedTokens(engine, "shares"), 28);
  });

  test("does not wait when it must compute all itself", () => {
    const engine = createEngine();
    const sampling = createSamplingParams({ promptLogprobs: 0 });
    engine.add({ requestId: "scores", tokens: [...SHARED, ...range(300, 8)], sampling });
    assert.deepEqual(rowsOf(engine.step()), ["leader", "scores"]);
  });

  test("does not wait across salts, nor where memory cannot share", () => {
    assert.deepEqual(rowsOf(createEngine({ kv: { canShare: false } }).step()), ["leader", "follower"]);
    const engine = new FakeEngine({ kv: { numBlocks: 64 } });
    engine.add({ requestId: "a", tokens: SHARED, cacheSalt: "a" });
    engine.add({ requestId: "b", tokens: SHARED, cacheSalt: "b" });
    assert.deepEqual(rowsOf(engine.step()), ["a", "b"]);
  });

  test("goes on by itself when the leader is aborted before it is done", () => {
    const engine = createEngine();
    engine.add({ requestId: "other", tokens: range(300, 40) });
    engine.scheduler.schedule(0);
    assert.equal(engine.scheduler.abort("leader"), true);
    assert.deepEqual(rowsOf(engine.scheduler.schedule(0)), ["other", "follower"].toSorted());
  });

  test("any number of followers costs a bounded effort in each step, and none is forgotten", () => {
    const engine = createEngine();
    for (const index of range(0, 100))
      engine.add({ requestId: `more-${index}`, tokens: [...SHARED, 500 + index] });
    engine.drain();
    for (const index of range(0, 100)) assert.equal(engine.finishOf(`more-${index}`), "length");
    assert.equal(engine.scheduler.stats().numPromptTokensComputed, 40 + 8 + 100);
  });
});

describe("A sequence whose turn comes before that of one in the midst of their common prefix", () => {
  const LONG = range(0, 200);

  /** A leader of 200 tokens, of which one step computes 32. */
  function createStarted(options: FakeEngineOptions = {}): FakeEngine {
    const scheduler = { maxNumBatchedTokens: 32, ...options.scheduler };
    const engine = new FakeEngine({ ...options, kv: { numBlocks: 128, ...options.kv }, scheduler });
    engine.add({ requestId: "leader", tokens: LONG, maxTokens: 1 });
    engine.step();
    return engine;
  }

  function numComputed(engine: FakeEngine): number {
    return engine.scheduler.stats().numPromptTokensComputed;
  }

  test("lends it its turn, and shares what it has computed", () => {
    const engine = createStarted();
    engine.add({ requestId: "other", tokens: range(900, 150), maxTokens: 1 });
    engine.add({ requestId: "shorter", tokens: [...range(0, 96), 500], maxTokens: 1 });
    assert.deepEqual(rowsOf(engine.step()), ["leader"]);
    assert.deepEqual(rowsOf(engine.step()), ["leader"]);
    const plan = engine.step();
    assert.deepEqual(plan!.cacheOps, [{ kind: "share", from: 0, to: 1, numTokens: 96 }]);
    assert.ok(rowsOf(plan).includes("shorter"));
    engine.drain();
    assert.equal(numComputed(engine), 200 + 150 + 1);
  });

  test("waits for it across classes too", () => {
    const engine = createStarted();
    engine.add({ requestId: "other", tokens: range(900, 20), maxTokens: 1 });
    engine.add({ requestId: "urgent", tokens: [...range(0, 64), 500], priority: -1, maxTokens: 1 });
    assert.deepEqual(rowsOf(engine.step()), ["leader"]);
    assert.ok(rowsOf(engine.step()).includes("urgent"));
    engine.drain();
    assert.equal(numComputed(engine), 200 + 20 + 1);
  });

  test("goes on by itself when that one is paused", () => {
    const engine = createStarted();
    engine.add({ requestId: "shorter", tokens: [...range(0, 96), 500], maxTokens: 1 });
    engine.step();
    engine.scheduler.pause("leader");
    assert.deepEqual(rowsOf(engine.step()), ["shorter"]);
    assert.equal(numCachedTokens(engine, "shorter"), 64);
  });

  test("has no turn to lend where there is no room for it", () => {
    const engine = createStarted({ scheduler: { maxNumSeqs: 2 } });
    engine.add({ requestId: "other", tokens: range(900, 100), maxTokens: 1 });
    engine.step();
    engine.add({ requestId: "shorter", tokens: [...range(0, 48), 500], maxTokens: 1 });
    assert.deepEqual(rowsOf(engine.step()), ["other"]);
  });

  test("does not wait for one that must first compute what the cache has", () => {
    const engine = new FakeEngine({ kv: { numBlocks: 256 }, scheduler: { maxNumBatchedTokens: 32 } });
    engine.add({ requestId: "cached", tokens: LONG, maxTokens: 1 });
    engine.drain();
    const sampling = createSamplingParams({ promptLogprobs: 0 });
    engine.add({ requestId: "computes all", tokens: [...LONG, ...LONG], maxTokens: 1, sampling });
    engine.step();
    engine.add({ requestId: "shares", tokens: [...LONG, ...range(0, 20)], maxTokens: 1 });
    assert.ok(rowsOf(engine.step()).includes("shares"));
    assert.equal(numCachedTokens(engine, "shares"), 200);
  });

  test("any number of them compute the prefix once", () => {
    const engine = createStarted({ kv: { numBlocks: 512, numSeqIds: 64 } });
    for (const index of range(0, 40))
      engine.add({ requestId: `${index}`, tokens: [...range(0, 160), 500 + index], maxTokens: 1 });
    engine.drain();
    assert.equal(numComputed(engine), 200 + 40);
  });
});
