import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FakeEngine, range } from "../../support/scheduler-builders.ts";

function statusOf(engine: FakeEngine): { preempted: string[]; finished: string[] } {
  const of = (kind: "preempted" | "finished"): string[] =>
    engine.events.flatMap((event) => (event.kind === kind ? [event.requestId] : []));
  return { preempted: of("preempted"), finished: of("finished") };
}

/** Six blocks of four tokens for three sequences that will grow to thirteen tokens each. */
function createCrowded(priorities: readonly [number, number, number]): FakeEngine {
  const engine = new FakeEngine({ kv: { numBlocks: 6 } });
  for (const [index, priority] of priorities.entries()) {
    engine.add({ requestId: "abc"[index]!, tokens: range(100 * index, 3), maxTokens: 10, priority });
    engine.step();
  }
  return engine;
}

describe("When memory is short", () => {
  test("the latest arrival gives way, and resumes with nothing lost", () => {
    const engine = createCrowded([0, 0, 0]);
    engine.drain();
    const { preempted, finished } = statusOf(engine);
    assert.equal(preempted[0], "c");
    assert.ok(!preempted.includes("a"));
    assert.deepEqual(finished.toSorted(), ["a", "b", "c"]);
    for (const requestId of ["a", "b", "c"]) assert.equal(engine.tokensOf(requestId).length, 10);
  });

  test("the lowest priority gives way before the latest arrival", () => {
    const engine = createCrowded([1, 0, 0]);
    engine.drain();
    const { preempted } = statusOf(engine);
    assert.equal(preempted[0], "a");
    assert.ok(!preempted.includes("b"));
  });

  test("a paused sequence gives way first, whatever its priority", () => {
    const engine = createCrowded([-1, 0, 0]);
    engine.scheduler.pause("a");
    while (statusOf(engine).preempted.length === 0) engine.step();
    assert.deepEqual(statusOf(engine).preempted, ["a"]);
    engine.scheduler.resume("a");
    engine.drain();
    assert.equal(engine.tokensOf("a").length, 10);
  });

  test("a cached branch goes before any running sequence", () => {
    const engine = new FakeEngine({ kv: { numBlocks: 6 } });
    engine.add({ requestId: "old", tokens: range(500, 12), maxTokens: 1 });
    engine.drain();
    engine.add({ requestId: "a", tokens: range(0, 8), maxTokens: 13 });
    engine.drain();
    assert.deepEqual(statusOf(engine).preempted, []);
    assert.equal(engine.tokensOf("a").length, 13);
  });

  test("a preempted sequence finds the blocks again that were not needed", () => {
    const engine = new FakeEngine({ kv: { numBlocks: 12 } });
    for (const requestId of ["a", "b"]) {
      engine.add({ requestId, tokens: range(requestId === "a" ? 0 : 100, 20), maxTokens: 6 });
      engine.step();
    }
    engine.drain();
    assert.deepEqual(statusOf(engine).preempted, ["b"]);
    assert.equal(engine.scheduler.stats().numPrefixHitTokens, 20);
  });

  test("a preempted sequence is parked in host memory and computes only its last block again", () => {
    const engine = new FakeEngine({ kv: { numBlocks: 9, maxHostBlocks: 20 } });
    for (const [index, requestId] of ["a", "b"].entries()) {
      engine.add({ requestId, tokens: range(100 * index, 14), maxTokens: 10 });
      engine.step();
    }
    engine.drain();
    assert.deepEqual(statusOf(engine), { preempted: ["b"], finished: ["a", "b"] });
    const { numPreemptions, numParks, numHostHitTokens, numPrefixHitTokens } = engine.scheduler.stats();
    assert.deepEqual({ numPreemptions, numParks }, { numPreemptions: 1, numParks: 1 });
    assert.ok(numHostHitTokens > 0 && numPrefixHitTokens >= 16, JSON.stringify(engine.scheduler.stats()));
    assert.equal(engine.tokensOf("b").length, 10);
  });

  for (const [what, maxHostBlocks, numParks] of [
    ["no room", 4, 0],
    ["room enough", 8, 1],
  ] as const) {
    test(`a park is one only where what is pinned leaves ${what} for it`, () => {
      const engine = new FakeEngine({ kv: { numBlocks: 9, maxHostBlocks } });
      const pins = [{ numTokens: 16, ttlMs: 1_000_000 }];
      engine.add({ requestId: "pinned", tokens: range(500, 16), maxTokens: 1, pins });
      engine.drain();
      for (const [index, requestId] of ["a", "b"].entries()) {
        engine.add({ requestId, tokens: range(100 * index, 14), maxTokens: 10 });
        engine.step();
      }
      engine.drain();
      const stats = engine.scheduler.stats();
      assert.deepEqual([stats.numPreemptions, stats.numParks], [1, numParks]);
      assert.equal(stats.numHostHitTokens > 0, numParks === 1);
    });
  }

  test("a preempted sequence is computed again where copies have been dearer", () => {
    const engine = new FakeEngine({ kv: { numBlocks: 9, maxHostBlocks: 20 } });
    engine.scheduler.copyTimes.observe(
      [{ kind: "save", slot: 0, seqId: 0, fromPosition: 0, toPosition: 16 }],
      1_000,
    );
    for (const [index, requestId] of ["a", "b"].entries()) {
      engine.add({ requestId, tokens: range(100 * index, 14), maxTokens: 10 });
      engine.step();
    }
    engine.drain();
    const { numPreemptions, numParks, numHostHitTokens } = engine.scheduler.stats();
    assert.deepEqual(
      { numPreemptions, numParks, numHostHitTokens },
      { numPreemptions: 1, numParks: 0, numHostHitTokens: 0 },
    );
    assert.equal(engine.tokensOf("b").length, 10);
  });

  test("a newcomer is not admitted at the cost of the next growth of those running", () => {
    const engine = new FakeEngine({ kv: { numBlocks: 6 } });
    engine.add({ requestId: "a", tokens: range(0, 8) });
    engine.step();
    engine.add({ requestId: "b", tokens: range(100, 12) });
    engine.step();
    assert.equal(engine.scheduler.stats().numRunning, 1);
    engine.drain();
    assert.deepEqual(statusOf(engine), { preempted: [], finished: ["a", "b"] });
  });

  test("paused sequences give their seats to waiting ones", () => {
    const engine = new FakeEngine({ scheduler: { maxNumSeqs: 1 } });
    engine.add({ requestId: "slow", tokens: range(0, 8) });
    engine.step();
    engine.scheduler.pause("slow");
    assert.equal(engine.scheduler.hasWork(), false);
    engine.add({ requestId: "b", tokens: range(100, 8) });
    engine.drain();
    assert.deepEqual(statusOf(engine), { preempted: ["slow"], finished: ["b"] });
    engine.scheduler.resume("slow");
    engine.drain();
    assert.equal(engine.tokensOf("slow").length, 4);
  });

  test("a paused waiting sequence is not admitted", () => {
    const engine = new FakeEngine();
    engine.add({ requestId: "a" });
    engine.scheduler.pause("a");
    assert.equal(engine.step(), null);
    engine.scheduler.resume("a");
    engine.drain();
    assert.equal(engine.tokensOf("a").length, 4);
  });
});
