import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { CacheOp } from "../../../scheduler/contracts.ts";
import { CopyTimeModel } from "../../../scheduler/copy-time-model.ts";

function save(numTokens: number): CacheOp {
  return { kind: "save", slot: 0, seqId: 0, fromPosition: 0, toPosition: numTokens };
}

const TRIM: CacheOp = { kind: "trim", seqId: 0, fromPosition: 0 };

describe("CopyTimeModel", () => {
  test("knows nothing until copies are made", () => {
    const model = new CopyTimeModel();
    model.observe([], 5);
    model.observe([TRIM], 5);
    assert.equal(model.copyMs(1, 16), null);
    assert.equal(model.operationsMs([save(16)]), 0);
  });

  test("tells the fixed part of a copy from the part of its tokens", () => {
    const model = new CopyTimeModel();
    for (let step = 1; step <= 100; step += 1) {
      const operations = Array.from({ length: 1 + (step % 3) }, () => save(16 * (1 + (step % 7))));
      const numTokens = operations.length * 16 * (1 + (step % 7));
      model.observe([TRIM, ...operations], 0.5 * operations.length + 0.01 * numTokens);
    }
    assert.ok(Math.abs(model.copyMs(2, 200)! - 3) < 0.1, String(model.copyMs(2, 200)));
    assert.equal(model.operationsMs([save(150), TRIM, save(50)]), model.copyMs(2, 200));
    assert.equal(model.operationsMs([TRIM]), 0, "no copy, no time");
  });

  test("counts all that is copied: whole slots, and what is shared by a copy there and back", () => {
    const model = new CopyTimeModel();
    for (let step = 1; step <= 100; step += 1) {
      const numTokens = 100 * (1 + (step % 7));
      model.observe([save(numTokens)], 1 + 0.01 * numTokens);
    }
    const restored = { kind: "restore", slot: 0, seqId: 0, fromPosition: 0, toPosition: 16 } as const;
    const shared = { kind: "share", from: 0, to: 1, numTokens: 16 } as const;
    const numCopiedTokens = 500;
    assert.equal(model.operationsMs([{ ...restored, numCopiedTokens }]), model.copyMs(1, 500));
    assert.equal(model.operationsMs([{ ...shared, numCopiedTokens }]), model.copyMs(2, 1_000));
    assert.equal(model.operationsMs([shared]), 0, "a tag");
  });

  test("a few short copies say nothing of long ones", () => {
    const model = new CopyTimeModel();
    const timeOf = (numTokens: number): number => 0.1 + 0.0006 * numTokens;
    for (let step = 0; step < 200; step += 1) model.observe([save(4_096)], timeOf(4_096));
    for (let step = 0; step < 3; step += 1) model.observe([save(128)], timeOf(128));
    assert.ok(model.operationsMs([save(4_096)]) > 0.8 * timeOf(4_096));
  });
});
