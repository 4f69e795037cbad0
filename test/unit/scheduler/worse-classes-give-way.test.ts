import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FakeEngine, range, type FakeEngineOptions } from "../../support/scheduler-builders.ts";

const AGEING_MS = 100;
const LENGTH = 12;
const ANSWER = 30;

/** Runs one sequence of each class, the first that came first, each twelve tokens with a long answer to come. */
function createRunning(classes: readonly number[], options: FakeEngineOptions = {}): FakeEngine {
  const engine = new FakeEngine({
    ...options,
    scheduler: { maxNumSeqs: classes.length, priorityAgeingMs: AGEING_MS, ...options.scheduler },
    kv: { numBlocks: 64, maxHostBlocks: 64, ...options.kv },
  });
  for (const [index, priority] of classes.entries()) {
    engine.add({
      requestId: `old-${index}`,
      tokens: range(1000 * (index + 1), LENGTH),
      maxTokens: ANSWER,
      priority,
    });
    engine.step();
  }
  assert.equal(engine.scheduler.stats().numRunning, classes.length);
  return engine;
}

const preempted = ({ events }: FakeEngine): string[] =>
  events.flatMap((event) => (event.kind === "preempted" ? [event.requestId] : []));

const urgent = { requestId: "urgent", tokens: range(9000, LENGTH), maxTokens: 3, priority: -100 };

function assertNothingLost(engine: FakeEngine, numOld: number): void {
  engine.drain();
  for (let index = 0; index < numOld; index += 1)
    assert.equal(engine.tokensOf(`old-${index}`).length, ANSWER, `old-${index}`);
}

describe("A worse class gives way", () => {
  test("its seat, in the same step, and comes back to it", () => {
    const engine = createRunning([100, 100]);
    engine.add(urgent);
    engine.step();
    assert.equal(engine.tokensOf("urgent").length, 1);
    assert.deepEqual(preempted(engine), ["old-1"], "the less urgent of them");
    engine.add({ requestId: "later", tokens: range(8000, LENGTH), maxTokens: 3, priority: 100 });
    while (engine.finishOf("urgent") === undefined) engine.step();
    engine.step();
    const running = engine.scheduler.snapshot(engine.nowMs).running.map(({ requestId }) => requestId);
    assert.deepEqual(running.toSorted(), ["old-0", "old-1"], "before others of its class");
    assertNothingLost(engine, 2);
    assert.deepEqual(preempted(engine), ["old-1"]);
  });

  test("the worst of several, and never the same or a better one", () => {
    const engine = createRunning([2, 50, -1]);
    engine.add({ ...urgent, priority: 2 });
    engine.step();
    assert.deepEqual(preempted(engine), ["old-1"]);
    engine.add({ ...urgent, requestId: "same", priority: 2 });
    engine.step();
    assert.deepEqual(preempted(engine), ["old-1"]);
    assertNothingLost(engine, 3);
  });

  test("only until it has been here for long enough to count as one of the newcomer's class", () => {
    for (const [waitMs, expected] of [
      [AGEING_MS - 1, ["old-0"]],
      [AGEING_MS, []],
    ] as const) {
      const engine = createRunning([1]);
      engine.nowMs = waitMs;
      engine.add({ ...urgent, priority: 0 });
      engine.step();
      assert.deepEqual(preempted(engine), expected, `after ${waitMs} ms`);
      assertNothingLost(engine, 1);
    }
  });

  test("a stream of urgent requests interrupts each of them only for so long", () => {
    const engine = createRunning([1, 1]);
    for (let count = 0; count < 3 * AGEING_MS; count += 1) {
      engine.add({
        ...urgent,
        requestId: `urgent-${count}`,
        tokens: range(20_000 + 20 * count, 6),
        priority: 0,
      });
      engine.step();
    }
    assert.ok(engine.nowMs > 2 * AGEING_MS);
    assert.ok(
      ["old-0", "old-1"].every((id) => engine.finishOf(id) !== undefined),
      "they end while others still come",
    );
    assertNothingLost(engine, 2);
  });

  test("whoever was interrupted takes nothing back from the one it gave way to, but from one worse still", () => {
    const engine = createRunning([2, 1], { scheduler: { maxNumSeqs: 2, priorityAgeingMs: 1e6 } });
    engine.scheduler.pause("old-1");
    engine.add({ ...urgent, maxTokens: 30 });
    engine.step();
    assert.deepEqual(preempted(engine), ["old-1"], "paused ones go first");
    engine.scheduler.resume("old-1");
    engine.step();
    assert.deepEqual(preempted(engine), ["old-1", "old-0"]);
    assertNothingLost(engine, 2);
    assert.deepEqual(preempted(engine), ["old-1", "old-0"]);
  });
});

describe("A worse class gives way where memory is short", () => {
  /** Two of twelve tokens run with three blocks each, beside room for six more and two free seats. */
  const short: FakeEngineOptions = { scheduler: { maxNumSeqs: 4 }, kv: { numBlocks: 12 } };

  test("with its blocks, when the newcomer then fits", () => {
    const engine = createRunning([100, 100], short);
    engine.add({ ...urgent, tokens: range(9000, 24) });
    engine.step();
    assert.deepEqual(preempted(engine), ["old-1"], "one is enough");
    assert.equal(engine.tokensOf("urgent").length, 1);
    assertNothingLost(engine, 2);
  });

  test("not when it would not help", () => {
    const engine = createRunning([-100, 100], short);
    engine.add({ ...urgent, tokens: range(9000, 36) });
    engine.step();
    assert.deepEqual(preempted(engine), []);
    assertNothingLost(engine, 2);
    assert.equal(engine.finishOf("urgent"), "length");
  });

  test("no more of them than needed, though a small one would be the first", () => {
    const engine = new FakeEngine({ kv: { numBlocks: 16 }, scheduler: { priorityAgeingMs: 1e6 } });
    engine.add({ requestId: "large", tokens: range(1000, 36), maxTokens: 4, priority: 50 });
    engine.step();
    engine.add({ requestId: "small", tokens: range(2000, 3), maxTokens: 4, priority: 100 });
    engine.step();
    engine.add({ ...urgent, tokens: range(9000, 36) });
    engine.step();
    assert.deepEqual(preempted(engine), ["large"]);
    engine.drain();
  });

  test("what both share is not counted as room", () => {
    const shared = range(1000, 24);
    const engine = new FakeEngine({ kv: { numBlocks: 16 }, scheduler: { priorityAgeingMs: 1e6 } });
    engine.add({ requestId: "old-0", tokens: [...shared, 1], maxTokens: 15, priority: -100 });
    engine.step();
    engine.add({ requestId: "old-1", tokens: [...shared, 2], maxTokens: 10, priority: 100 });
    engine.step();
    engine.add({ ...urgent, tokens: range(9000, 36) });
    engine.step();
    assert.deepEqual(preempted(engine), []);
    engine.drain();
    assert.equal(engine.finishOf("urgent"), "length");
  });
});
