import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { CappedSum } from "../../src/engine/capped-sum.ts";
import { WaitingWork, type WaitingItem } from "../../src/engine/waiting-work.ts";

const FLOOD: readonly WaitingItem[] = Array.from({ length: 100 }, (_, index) => ({
  tenantId: "flood",
  priority: 0,
  numTokens: 50,
  dueMs: index,
}));

function flooded(): WaitingWork {
  const waiting = new WaitingWork();
  for (const item of FLOOD) waiting.add(item);
  return waiting;
}

describe("WaitingWork", () => {
  it("puts a tenant behind its own work, and behind others only as far as they take turns with it", () => {
    const waiting = flooded();
    const newcomer = { tenantId: "single", priority: 0, numTokens: 70, dueMs: 1000 };
    assert.deepEqual(waiting.ahead(newcomer), { numSequences: 1, numTokens: 70 });
    assert.deepEqual(waiting.ahead({ ...newcomer, tenantId: "flood" }), {
      numSequences: 100,
      numTokens: 5000,
    });
    waiting.add(newcomer);
    assert.deepEqual(waiting.ahead(newcomer), { numSequences: 1 + 2, numTokens: 70 + 140 });
    const next = { numSequences: 0, numTokens: 0 };
    assert.deepEqual(waiting.ahead(newcomer, next), { numSequences: 1, numTokens: 70 });
  });

  it("puts it behind what of its own is due before it", () => {
    const waiting = flooded();
    const newcomer = { tenantId: "flood", priority: 0, numTokens: 8, dueMs: 9.5 };
    assert.deepEqual(waiting.ahead(newcomer), { numSequences: 10, numTokens: 500 });
    assert.deepEqual(waiting.ahead({ ...newcomer, dueMs: 9 }), { numSequences: 10, numTokens: 500 });
    assert.deepEqual(waiting.ahead({ ...newcomer, dueMs: -1 }), { numSequences: 0, numTokens: 0 });
  });

  it("lets better classes go first, whosesoever they are, and worse ones after", () => {
    const waiting = flooded();
    const urgent = { tenantId: "single", priority: -1, numTokens: 70, dueMs: 1000 };
    assert.deepEqual(waiting.ahead(urgent), { numSequences: 0, numTokens: 0 });
    assert.deepEqual(waiting.ahead({ ...urgent, priority: 1 }), { numSequences: 100, numTokens: 5000 });
    waiting.add(urgent);
    assert.deepEqual(waiting.upTo(-1), { numSequences: 1, numTokens: 70 });
    assert.deepEqual(waiting.upTo(0), { numSequences: 101, numTokens: 5070 });
  });

  it("counts back to nothing, each item once", () => {
    const waiting = flooded();
    assert.deepEqual(waiting.totalsOf("flood"), waiting.totals);
    for (const item of [...FLOOD, ...FLOOD]) waiting.remove(item);
    assert.deepEqual(waiting.totals, { numSequences: 0, numTokens: 0 });
  });
});

describe("CappedSum", () => {
  it("adds the numbers up as if each were cut at the cap", () => {
    const values = fc.array(fc.nat(100), { maxLength: 20 });
    fc.assert(
      fc.property(values, fc.nat(110), (numbers, cap) => {
        const sum = numbers.reduce((total, number) => total + Math.min(number, cap), 0);
        assert.equal(new CappedSum(numbers).upTo(cap), sum);
      }),
    );
  });
});
