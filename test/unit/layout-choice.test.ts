import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createFakeModelInfo } from "../../models/fake-model-runner.ts";
import { chooseLayout, type LayoutCosts } from "../../models/layout-choice.ts";
import { decideLayout, type LayoutRequest } from "../../models/llama/decide-layout.ts";
import { type MemoryPlan, MemoryPlanError } from "../../models/memory-plan.ts";

const COSTS: LayoutCosts = { numRows: 16, numTokens: 248, pagedMs: 60, emptyPagedMs: 40, streamsMs: 45 };

describe("chooseLayout", () => {
  it("takes streams where nothing is shared and rows pay for the cells of others", () => {
    const { layout, reason } = chooseLayout(COSTS, 0);
    assert.equal(layout, "streams");
    assert.match(reason, /16 rows of 248 tokens takes 60.0 ms paged, 45.0 ms in streams, with 0 %/);
  });

  it("takes one pool where most of the prompts is shared", () => {
    assert.equal(chooseLayout(COSTS, 0.9).layout, "paged");
  });

  it("takes one pool where streams gain little", () => {
    assert.equal(chooseLayout({ ...COSTS, streamsMs: 58 }, 0).layout, "paged");
  });
});

const plan = (overrides: Partial<MemoryPlan>): MemoryPlan =>
  ({ maxModelLen: 2048, maxNumSeqs: 16, ...overrides }) as MemoryPlan;

function decide(overrides: Partial<LayoutRequest>) {
  return decideLayout({
    wanted: "auto",
    isDeterministic: false,
    capabilities: createFakeModelInfo().capabilities,
    sharedPart: null,
    plan: (kvLayout) => plan({ kvLayout }),
    measure: () => COSTS,
    ...overrides,
  });
}

const mustNotMeasure = (): never => {
  throw new Error("nothing to measure");
};

describe("decideLayout", () => {
  it("measures where both layouts can do the same", () => {
    const decided = decide({});
    assert.equal(decided.layout, "streams");
    assert.equal(decided.plan.kvLayout, "streams");
    assert.equal(decided.costs, COSTS);
    assert.equal(decide({ sharedPart: 0.9 }).layout, "paged");
  });

  it("asks for slices that hold what one request may have of the pool", () => {
    const asked: [string, number | undefined][] = [];
    decide({
      plan: (kvLayout, longest) => {
        asked.push([kvLayout, longest]);
        return plan({ kvLayout, maxModelLen: 8192 });
      },
    });
    assert.deepEqual(asked, [
      ["paged", undefined],
      ["streams", 8192],
    ]);
  });

  it("does what it is told", () => {
    assert.deepEqual(decide({ wanted: "streams", measure: mustNotMeasure }).reason, "as asked");
    assert.equal(decide({ wanted: "paged", measure: mustNotMeasure }).layout, "paged");
    const deterministic = decide({ isDeterministic: true, measure: mustNotMeasure });
    assert.equal(deterministic.layout, "streams");
    assert.match(deterministic.reason, /--deterministic/);
  });

  it("stays with one pool, and says why, where slices would be too few", () => {
    const refusing = (): never => {
      throw new MemoryPlanError("too small");
    };
    const cases: [Partial<MemoryPlan> | null, RegExp][] = [
      [{ maxNumSeqs: 3 }, /each of 16 rows needs more memory, there is room for 3 of 2048 tokens/],
      [null, /too small for slices of 2048 tokens/],
    ];
    for (const [streams, reason] of cases) {
      const decided = decide({
        plan: (kvLayout) => (kvLayout === "paged" ? plan({}) : streams === null ? refusing() : plan(streams)),
        measure: mustNotMeasure,
      });
      assert.equal(decided.layout, "paged");
      assert.match(decided.reason, reason);
    }
  });

  it("never makes streams of a memory that cannot be cut or copied", () => {
    const { capabilities: all } = createFakeModelInfo();
    const recurrent = { ...all, canTrim: false, canShare: false, isRecurrent: true };
    assert.equal(decide({ capabilities: recurrent, measure: mustNotMeasure }).layout, "paged");
    const sliding = { ...all, canShare: false, hasSlidingWindow: true };
    assert.equal(decide({ capabilities: sliding, measure: mustNotMeasure }).layout, "paged");
  });
});
