import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { INPUT_TOKEN_WEIGHT, OUTPUT_TOKEN_WEIGHT } from "../../scheduler/virtual-token-counters.ts";
import { FakeEngine, range } from "../support/scheduler-builders.ts";

const MAX_PROMPT = 24;
const MAX_OUTPUT = 12;

interface Shape {
  readonly promptLength: number;
  readonly maxTokens: number;
}

interface Load {
  readonly maxNumSeqs: number;
  readonly maxNumBatchedTokens: number;
  /** Of each tenant's requests, repeated for ever. */
  readonly shapes: readonly [readonly Shape[], readonly Shape[]];
  /** How many more requests than the other the first tenant keeps waiting. */
  readonly flood: number;
}

const shapes: fc.Arbitrary<Shape[]> = fc.array(
  fc.record({
    promptLength: fc.integer({ min: 1, max: MAX_PROMPT }),
    maxTokens: fc.integer({ min: 1, max: MAX_OUTPUT }),
  }),
  { minLength: 1, maxLength: 4 },
);

const loads: fc.Arbitrary<Load> = fc.record({
  maxNumSeqs: fc.integer({ min: 1, max: 4 }),
  maxNumBatchedTokens: fc.constantFrom(16, 64),
  shapes: fc.tuple(shapes, shapes),
  flood: fc.integer({ min: 1, max: 20 }),
});

/** Two tenants of which both always have requests waiting. */
class Contest {
  readonly engine: FakeEngine;
  readonly service: [number, number] = [0, 0];
  readonly #shapes: Load["shapes"];
  readonly #numAdded: [number, number] = [0, 0];
  readonly #waiting: [Set<string>, Set<string>] = [new Set(), new Set()];

  constructor({ maxNumSeqs, maxNumBatchedTokens, ...load }: Load) {
    this.#shapes = load.shapes;
    this.engine = new FakeEngine({
      kv: { numBlocks: 64, canShare: false },
      scheduler: { maxNumSeqs, maxNumBatchedTokens, targetItlMs: 1000 },
    });
  }

  keepWaiting(tenant: 0 | 1, numWaiting: number): void {
    while (this.#waiting[tenant].size < numWaiting) this.#add(tenant);
  }

  step(): void {
    const numBefore = this.engine.events.length;
    this.engine.step();
    for (const event of this.engine.events.slice(numBefore)) {
      if (event.kind === "scheduled") this.#noteStarted(event.requestId);
      if (event.kind === "token") this.service[tenantOf(event.sample.requestId)] += OUTPUT_TOKEN_WEIGHT;
    }
  }

  #add(tenant: 0 | 1): void {
    const count = this.#numAdded[tenant]++;
    const { promptLength, maxTokens } = this.#shapes[tenant][count % this.#shapes[tenant].length]!;
    const requestId = `${tenant}/${count}/${promptLength}`;
    const tokens = range(300 + 40 * (count % 50), promptLength);
    this.#waiting[tenant].add(requestId);
    this.engine.add({ requestId, tokens, maxTokens, tenantId: `tenant-${tenant}` });
  }

  #noteStarted(requestId: string): void {
    const tenant = tenantOf(requestId);
    this.#waiting[tenant].delete(requestId);
    this.service[tenant] += INPUT_TOKEN_WEIGHT * Number(requestId.split("/")[2]);
  }
}

function tenantOf(requestId: string): 0 | 1 {
  return requestId.startsWith("0") ? 0 : 1;
}

test("two tenants with work waiting get the same service up to a bound, at any time and however much one sends", () => {
  const property = fc.property(loads, (load) => {
    const contest = new Contest(load);
    // Arrive alternately, so that neither has a head start.
    contest.keepWaiting(0, 1);
    contest.keepWaiting(1, 1);
    // Theorem 4.4 of VTC, with the most that a batch can be charged after it was chosen.
    const bound =
      2 * Math.max(INPUT_TOKEN_WEIGHT * MAX_PROMPT, OUTPUT_TOKEN_WEIGHT * load.maxNumSeqs * MAX_OUTPUT) +
      INPUT_TOKEN_WEIGHT * MAX_PROMPT;
    for (let count = 0; count < 150; count += 1) {
      contest.keepWaiting(0, 2 + load.flood);
      contest.keepWaiting(1, 2);
      contest.step();
      const [first, second] = contest.service;
      assert.ok(Math.abs(first - second) <= bound, `step ${count}: ${first} and ${second}, bound ${bound}`);
    }
  });
  fc.assert(property, { numRuns: 60, seed: 1 });
});

test("nothing starves: under endless urgent, short and early-due work of others every request gets its tokens", () => {
  const patients = fc.record({
    priority: fc.integer({ min: 0, max: 3 }),
    promptLength: fc.integer({ min: 1, max: 40 }),
    tenantId: fc.constantFrom("flood", "other"),
  });
  const property = fc.property(patients, fc.integer({ min: 1, max: 3 }), (patient, maxNumSeqs) => {
    const engine = new FakeEngine({
      kv: { numBlocks: 24 },
      scheduler: { maxNumSeqs, maxNumBatchedTokens: 16, priorityAgeingMs: 20 },
    });
    const { priority, promptLength, tenantId } = patient;
    engine.add({ requestId: "patient", tokens: range(900, promptLength), priority, tenantId });
    let numAdded = 0;
    for (let count = 0; count < 3000 && engine.finishOf("patient") === undefined; count += 1) {
      while (engine.scheduler.stats().numWaiting < 4) {
        const tokens = range(300 + (numAdded % 500), 3);
        const requestId = `flood-${numAdded++}`;
        engine.add({ requestId, tokens, priority: -1, tenantId: "flood", firstTokenWithinMs: 1 });
      }
      engine.step();
    }
    assert.equal(engine.finishOf("patient"), "length");
  });
  fc.assert(property, { numRuns: 40, seed: 1 });
});
