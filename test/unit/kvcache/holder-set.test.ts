import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { HolderSet } from "../../../kvcache/holder-set.ts";

const change = fc.record({ seqId: fc.nat(4), isAddition: fc.boolean() });

describe("HolderSet", () => {
  test("holds the same ids in the same order as a Set does", () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
        const holders = new HolderSet();
        const expected = new Set<number>();
        for (const { seqId, isAddition } of changes) {
          for (const set of [holders, expected]) {
            if (isAddition) set.add(seqId);
            else set.delete(seqId);
          }
          assert.deepEqual([...holders], [...expected]);
          assert.equal(holders.size, expected.size);
          assert.equal(holders.first, [...expected][0] ?? null);
          assert.equal(holders.has(seqId), isAddition);
        }
      }),
    );
  });
});
