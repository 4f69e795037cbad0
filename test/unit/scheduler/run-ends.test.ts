import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { RunEnds } from "../../../scheduler/run-ends.ts";

describe("RunEnds", () => {
  test("a run in each place after another", () => {
    const ends = new RunEnds([100, 600], 1_000);
    assert.deepEqual(
      [0, 1, 2, 3, 4, 5].map((numEnds) => ends.untilMs(numEnds)),
      [0, 400, 900, 1_400, 1_900, 2_400],
    );
    assert.equal(ends.untilMs(0.5), 400, "a part of one is a whole one");
  });

  test("a stream that goes on for ever holds its own place only", () => {
    const ends = new RunEnds([600_000, ...Array.from({ length: 15 }, () => 0)], 1_000);
    assert.deepEqual(
      [15, 16, 30, 31].map((numEnds) => ends.untilMs(numEnds)),
      [1_000, 2_000, 2_000, 3_000],
    );
  });

  test("never says less for more of them", () => {
    const agesMs = fc.array(fc.nat(5_000), { maxLength: 20 });
    fc.assert(
      fc.property(agesMs, fc.nat(3_000), fc.nat(100), (ages, usualMs, numEnds) => {
        const ends = new RunEnds(ages, usualMs);
        const laterMs = ends.untilMs(numEnds + 1);
        assert.ok(ends.untilMs(numEnds) <= laterMs && Number.isFinite(laterMs));
      }),
    );
  });
});
