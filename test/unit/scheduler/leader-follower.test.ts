import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FakeEngine, type FakeEngineOptions, range } from "../../support/scheduler-builders.ts";

const SHARED = range(0, 32);

/** A leader whose prompt of 40 tokens takes three steps, and a follower with 32 of them in common. */
function createEngine(options: FakeEngineOptions = {}): FakeEngine {
  const engine = new FakeEngine({
    ...options,
    kv: { numBlocks: 64, ...options.kv },
    scheduler: { maxNumBatchedTokens: 16, ...options.scheduler },
  });
  engine.add({ requestId: "leader", tokens: [...SHARED, ...range(100, 8)] });
  engine.add({ requestId: "follower", tokens: [...SHARED, ...range(200, 8)] });
  return engine;
}

function numCachedTokens(engine: FakeEngine, requestId: string): number | undefined {
  const event = engine.events.find((it) => it.kind === "scheduled" && it.requestId === requestId);
  return event?.kind === "scheduled" ? event.numCachedTokens : undefined;
}

describe("A sequence whose prefix another one is computing", () => {
  test("waits for it and shares it", () => {
    const engine = createEngine();
    engine.drain();
    assert.equal(numCachedTokens(engine, "follower"), 32);
    assert.equal(engine.scheduler.stats().numPromptTokensComputed, 40 + 8);
  });

  test("joins as soon as the common part is done", () => {
    const engine = createEngine({ scheduler: { maxNumBatchedTokens: 32 } });
    engine.step();
    assert.equal(engine.scheduler.stats().numRunning, 1);
    const plan = engine.step();
    assert.deepEqual(plan!.cacheOps, [{ kind: "share", from: 0, to: 1, numTokens: 32 }]);
  });

  test("does not hold up those behind it", () => {
    const engine = createEngine({ scheduler: { maxNumBatchedTokens: 64 } });
    engine.add({ requestId: "other", tokens: range(300, 8) });
    const rows = engine.step()!.batches.flatMap((batch) => batch.rows.map((row) => row.sequence.requestId));
    assert.deepEqual(rows, ["leader", "other"]);
  });

  test("all choices of a request compute their prompt once", () => {
    const engine = new FakeEngine({ kv: { numBlocks: 64 }, scheduler: { maxNumSeqs: 8 } });
    for (const index of range(0, 8)) engine.add({ requestId: `choice-${index}`, tokens: SHARED });
    engine.drain();
    // The last block holds the token that each must compute itself to get logits.
    assert.equal(engine.scheduler.stats().numPromptTokensComputed, 32 + 7 * 4);
  });

  test("does not wait for a less urgent one", () => {
    const engine = new FakeEngine({ kv: { numBlocks: 64 }, scheduler: { maxNumBatchedTokens: 16 } });
    engine.add({ requestId: "leader", tokens: [...SHARED, 100] });
    engine.step();
    engine.add({ requestId: "urgent", tokens: [...SHARED, 200], priority: -1 });
    const [batch] = engine.step()!.batches;
    assert.deepEqual(
      batch!.rows.map((row) => row.sequence.requestId),
      ["urgent"],
    );
    engine.drain();
    assert.equal(numCachedTokens(engine, "urgent"), 16);
  });

  test("does not wait across salts, nor where memory cannot share, nor when it must compute all", () => {
    const other = createEngine({ kv: { canShare: false } });
    other.drain();
    assert.equal(numCachedTokens(other, "follower"), 0);
    const engine = new FakeEngine({ kv: { numBlocks: 64 } });
    engine.add({ requestId: "a", tokens: SHARED, cacheSalt: "a" });
    engine.add({ requestId: "b", tokens: SHARED, cacheSalt: "b" });
    assert.equal(engine.step()!.batches[0]!.rows.length, 2);
  });

  const interruptions: Readonly<Record<string, (engine: FakeEngine) => void>> = {
    aborted: (engine) => assert.equal(engine.scheduler.abort("leader"), true),
    paused: (engine) => engine.scheduler.pause("leader"),
  };
  for (const [name, interrupt] of Object.entries(interruptions)) {
    test(`goes on by itself when the leader is ${name}`, () => {
      const engine = createEngine();
      engine.step();
      interrupt(engine);
      engine.drain();
      assert.equal(engine.finishOf("follower"), "length");
      assert.equal(numCachedTokens(engine, "follower"), 16);
    });
  }

  test("can be aborted or paused while it waits", () => {
    for (const verb of ["abort", "pause"] as const) {
      const engine = createEngine();
      engine.step();
      engine.scheduler[verb]("follower");
      engine.drain();
      assert.equal(engine.finishOf("leader"), "length");
      assert.equal(engine.scheduler.hasWork(), false);
      engine.scheduler.resume("follower");
      engine.drain();
      assert.equal(engine.finishOf("follower"), verb === "pause" ? "length" : undefined);
    }
  });
});
