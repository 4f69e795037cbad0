import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { StepPlan } from "../../../scheduler/contracts.ts";
import { FakeEngine, range } from "../../support/scheduler-builders.ts";

const NUM_SEATS = 4;

/** One tenant holds every seat and has as many requests waiting. */
function createFlooded(kv: ConstructorParameters<typeof FakeEngine>[0] = {}): FakeEngine {
  const engine = new FakeEngine({
    scheduler: { maxNumSeqs: NUM_SEATS, priorityAgeingMs: 1e6, targetItlMs: 1000 },
    kv: { numBlocks: 64 },
    ...kv,
  });
  for (let index = 0; index < 2 * NUM_SEATS; index += 1) {
    engine.add({
      requestId: `flood-${index}`,
      tokens: range(100 * index, 6),
      maxTokens: 40,
      tenantId: "flood",
    });
  }
  while (engine.scheduler.stats().numRunning < NUM_SEATS) engine.step();
  engine.step();
  return engine;
}

const preempted = ({ events }: FakeEngine): string[] =>
  events.flatMap((event) => (event.kind === "preempted" ? [event.requestId] : []));

const rowsOf = (plan: StepPlan | null, kind: "decode" | "prefill"): string[] =>
  plan!.batches
    .filter((batch) => batch.kind === kind)
    .flatMap(({ rows }) => rows.map(({ sequence }) => sequence.requestId));

const newcomer = { requestId: "newcomer", tokens: range(5000, 6), maxTokens: 3, tenantId: "other" };

describe("Seats", () => {
  test("a newcomer has the seat of a tenant with more in the same step, and nobody's tokens are lost", () => {
    const engine = createFlooded();
    engine.add(newcomer);
    const plan = engine.step();
    assert.deepEqual(rowsOf(plan, "prefill"), ["newcomer"]);
    assert.deepEqual(preempted(engine), ["flood-3"], "the latest of them");
    assert.deepEqual(rowsOf(plan, "decode"), ["flood-0", "flood-1", "flood-2"]);
    assert.equal(engine.tokensOf("newcomer").length, 1);
    while (engine.finishOf("newcomer") === undefined) engine.step();
    const { running } = engine.scheduler.snapshot(engine.nowMs);
    engine.step();
    assert.ok(!running.some(({ requestId }) => requestId === "flood-3"));
    const after = engine.scheduler.snapshot(engine.nowMs).running.map(({ requestId }) => requestId);
    assert.ok(after.includes("flood-3"), "who was interrupted is the first to come back");
    engine.drain();
    for (let index = 0; index < 2 * NUM_SEATS; index += 1) {
      assert.equal(engine.tokensOf(`flood-${index}`).length, 40);
    }
    assert.deepEqual(preempted(engine), ["flood-3"]);
  });

  test("are shared until no tenant has two more than another that waits", () => {
    const engine = createFlooded();
    for (let index = 0; index < NUM_SEATS; index += 1) {
      const requestId = `other-${index}`;
      engine.add({ ...newcomer, requestId, tokens: range(5000 + 100 * index, 6), maxTokens: 40 });
    }
    const seats = Array.from({ length: 8 }, () => {
      engine.step();
      return engine.scheduler.snapshot(engine.nowMs).tenants.map(({ numRunning }) => numRunning);
    });
    assert.deepEqual(seats.at(-1), [NUM_SEATS / 2, NUM_SEATS / 2]);
    assert.ok(seats.every(([flood = 0, other = 0]) => flood >= other && flood + other === NUM_SEATS));
    assert.equal(preempted(engine).length, NUM_SEATS / 2);
    engine.drain();
  });

  test("one who was interrupted keeps no third tenant waiting", () => {
    const engine = createFlooded();
    engine.add(newcomer);
    engine.step();
    engine.add({ ...newcomer, requestId: "third", tokens: range(7000, 6), tenantId: "third" });
    assert.deepEqual(rowsOf(engine.step(), "prefill"), ["third"]);
    engine.drain();
  });

  test("are not given up to the same tenant, to a worse class, or where memory would then be short", () => {
    const cases: [Parameters<FakeEngine["add"]>[0], Parameters<typeof createFlooded>[0]][] = [
      [{ tenantId: "flood" }, {}],
      [{ priority: 1 }, {}],
      [{ tokens: range(5000, 100) }, { kv: { numBlocks: 32 } }],
    ];
    for (const [overrides, options] of cases) {
      const engine = createFlooded(options);
      engine.add({ ...newcomer, ...overrides });
      engine.step();
      assert.deepEqual(preempted(engine), [], JSON.stringify(overrides));
      engine.drain();
    }
  });

  test("the prompt of a newcomer gets larger chunks than that of a tenant with more of them, unless a target is set", () => {
    const chunkOf = (tenantId: string, targetItlMs: number | null): number => {
      const engine = new FakeEngine({
        scheduler: { maxNumSeqs: NUM_SEATS, maxNumBatchedTokens: 512, targetItlMs },
        kv: { numBlocks: 512 },
      });
      engine.callMs = ({ kind, numTokens }) => (kind === "decode" ? 10 : 5 + 2 * numTokens);
      for (let index = 0; index < NUM_SEATS - 1; index += 1) {
        const tokens = range(1000 * index, 300);
        engine.add({ requestId: `flood-${index}`, tokens, maxTokens: 200, tenantId: "flood" });
      }
      for (let count = 0; count < 50; count += 1) engine.step();
      engine.add({ ...newcomer, tokens: range(5000, 500), tenantId });
      const prefill = engine.step()!.batches.find(({ kind }) => kind === "prefill")!;
      engine.drain();
      return prefill.numTokens;
    };
    assert.ok(chunkOf("other", null) >= 1.5 * chunkOf("flood", null));
    assert.equal(chunkOf("other", 200), chunkOf("flood", 200));
  });

  describe("a tenant with most of them prefills in short calls as long as others come and go", () => {
    const chunkAfter = (
      others: readonly string[],
      { pauseMs = 0, numSeats = 3, targetItlMs = null as number | null, maxTokens = 3 } = {},
    ): number => {
      const engine = new FakeEngine({
        scheduler: { maxNumSeqs: 8, maxNumBatchedTokens: 512, targetItlMs },
        kv: { numBlocks: 1024 },
      });
      engine.callMs = ({ kind, numTokens }) => (kind === "decode" ? 30 : 1 + 2 * numTokens);
      for (let index = 0; index < numSeats; index += 1) {
        const tokens = range(1000 * index, 300);
        engine.add({ requestId: `flood-${index}`, tokens, maxTokens: 400, tenantId: "flood" });
      }
      for (let count = 0; count < 50; count += 1) engine.step();
      for (const [index, tenantId] of others.entries()) {
        const tokens = range(5000 + 10 * index, 6);
        engine.add({ requestId: `other-${index}`, tokens, maxTokens, tenantId });
        for (let count = 0; count < 8; count += 1) engine.step();
        assert.equal(engine.finishOf(`other-${index}`), maxTokens < 8 ? "length" : undefined);
        engine.nowMs += pauseMs;
      }
      engine.add({ requestId: "flood", tokens: range(9000, 500), tenantId: "flood" });
      const prefill = engine.step()!.batches.find(({ kind }) => kind === "prefill")!;
      engine.drain();
      return prefill.numTokens;
    };
    const usual = chunkAfter([]);

    test("and in usual ones with none of them, or none of late", () => {
      assert.equal(chunkAfter(["other"]), 64);
      assert.equal(chunkAfter(["other", "flood", "flood"]), 64, "its own do not hide the other");
      assert.ok(usual > 64);
      assert.equal(chunkAfter(["flood"]), usual);
      assert.equal(chunkAfter(["other"], { pauseMs: 10_000 }), usual);
      assert.equal(chunkAfter(["other", "other"], { pauseMs: 6_000 }), 64, "the latest counts");
    });

    test("and not with a target that was set", () => {
      assert.equal(chunkAfter(["other"], { targetItlMs: 300 }), chunkAfter([], { targetItlMs: 300 }));
    });

    test("and not with a seat alone, or one more than another", () => {
      assert.equal(chunkAfter(["other"], { numSeats: 0 }), chunkAfter([], { numSeats: 0 }));
      const beside = { maxTokens: 400 };
      assert.ok(chunkAfter(["other"], { ...beside, numSeats: 1 }) > 64);
      assert.ok(chunkAfter(["other"], { ...beside, numSeats: 2 }) <= 64);
    });
  });

  test("the prompt of a tenant with more of them does not ride along with a newcomer's", () => {
    const engine = new FakeEngine({ scheduler: { maxNumSeqs: 8, targetItlMs: 1000 }, kv: { numBlocks: 64 } });
    for (let index = 0; index < 3; index += 1) {
      engine.add({
        requestId: `flood-${index}`,
        tokens: range(100 * index, 6),
        maxTokens: 9,
        tenantId: "flood",
      });
    }
    engine.step();
    engine.add({ requestId: "flood-3", tokens: range(900, 6), tenantId: "flood" });
    engine.add(newcomer);
    assert.deepEqual(rowsOf(engine.step(), "prefill"), ["newcomer"]);
    assert.deepEqual(rowsOf(engine.step(), "prefill"), ["flood-3"]);
    engine.drain();
  });
});
