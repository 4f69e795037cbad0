import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FakeEngine, range } from "../support/scheduler-builders.ts";

const BLOCK_SIZE = 4;
const MAX_MODEL_LEN = 40;
const AGEING_MS = 40;

const settings = fc.record({
  numBlocks: fc.integer({ min: MAX_MODEL_LEN / BLOCK_SIZE, max: 20 }),
  maxNumSeqs: fc.integer({ min: 1, max: 4 }),
  maxHostBlocks: fc.constantFrom(0, 100),
  layout: fc.constantFrom("paged" as const, "streams" as const),
});

/** A request, and the steps until the next one. */
const arrivals = fc.record({
  promptLength: fc.integer({ min: 1, max: 20 }),
  maxTokens: fc.integer({ min: 1, max: 20 }),
  priority: fc.integer({ min: -2, max: 2 }),
  tenantId: fc.constantFrom("a", "b"),
  numSteps: fc.nat(3),
});

type Settings = typeof settings extends fc.Arbitrary<infer T> ? T : never;
type Arrival = typeof arrivals extends fc.Arbitrary<infer T> ? T : never;
type Standing = ReturnType<FakeEngine["scheduler"]["snapshot"]>["waiting"][number];

function createEngine({ layout, maxNumSeqs, numBlocks, maxHostBlocks }: Settings): FakeEngine {
  const numSlices = maxNumSeqs * (MAX_MODEL_LEN / BLOCK_SIZE);
  return new FakeEngine({
    kv: {
      numBlocks: layout === "streams" ? numSlices : numBlocks,
      blockSize: BLOCK_SIZE,
      numSeqIds: maxNumSeqs,
      maxHostBlocks,
      layout,
    },
    scheduler: { maxNumSeqs, maxModelLen: MAX_MODEL_LEN, priorityAgeingMs: AGEING_MS },
  });
}

/** Of a strictly better class, in which the other does not count by its age. */
function outranks(first: Standing, second: Standing): boolean {
  return first.priority < second.priority && second.ageMs < (second.priority - first.priority) * AGEING_MS;
}

test("nobody whose turn it is by class waits behind only worse running sequences", () => {
  let numInterruptions = 0;
  /** Returns the one that waits though all that run, and all others that wait, are of worse classes. */
  const keptWaiting = (engine: FakeEngine): string | null => {
    const { running, waiting } = engine.scheduler.snapshot(engine.nowMs);
    const first = waiting.find((it) =>
      [...running, ...waiting].every((other) => other === it || outranks(it, other)),
    );
    return running.length > 0 && first !== undefined ? first.requestId : null;
  };
  const property = fc.property(
    settings,
    fc.array(arrivals, { minLength: 4, maxLength: 16 }),
    (setting, script: Arrival[]) => {
      const engine = createEngine(setting);
      // Those that run may grow into the room that there was for it, once.
      let missed: string | null = null;
      const step = (): boolean => {
        const before = keptWaiting(engine);
        let hasBegun = before === null;
        const plan = engine.step(({ rows }) => {
          if (rows.some(({ sequence }) => sequence.requestId === before)) hasBegun = true;
        });
        assert.ok(hasBegun || before !== missed, `${before} waits behind worse ones`);
        missed = hasBegun ? null : before;
        return plan !== null;
      };
      for (const [index, { numSteps, promptLength, ...request }] of script.entries()) {
        engine.add({ ...request, requestId: `${index}`, tokens: range(1000 * (index + 1), promptLength) });
        for (let count = 0; count < numSteps; count += 1) step();
      }
      for (let count = 0; step(); count += 1) assert.ok(count < script.length * 100, "starved");
      for (const [index, { maxTokens }] of script.entries())
        assert.equal(engine.tokensOf(`${index}`).length, maxTokens);
      numInterruptions += engine.scheduler.stats().numPreemptions;
    },
  );
  fc.assert(property, { numRuns: 2_000, seed: 1, includeErrorInReport: true });
  assert.ok(numInterruptions > 1_000, `${numInterruptions}`);
});
