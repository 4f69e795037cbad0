import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { BlockPool } from "../../../kvcache/block-pool.ts";

describe("BlockPool", () => {
  test("gives out each block once and then says no", () => {
    const pool = new BlockPool(2);
    const blocks = [pool.take(0), pool.take(0)];
    assert.notEqual(blocks[0], blocks[1]);
    assert.equal(pool.take(0), null);
    assert.deepEqual(pool.counts(), { total: 2, free: 0, cached: 0, used: 2 });
  });

  test("frees a shared block with its last holder", () => {
    const pool = new BlockPool(1);
    const block = pool.take(0)!;
    pool.hold(block, 1);
    pool.drop(block, 0, "running");
    assert.deepEqual(pool.counts(), { total: 1, free: 0, cached: 0, used: 1 });
    pool.drop(block, 1, "running");
    assert.deepEqual(pool.counts(), { total: 1, free: 1, cached: 0, used: 0 });
  });

  test("counts a block as cached while only retained holders are left", () => {
    const pool = new BlockPool(1);
    const block = pool.take(0)!;
    pool.hold(block, 1);
    pool.retain(block);
    assert.equal(pool.numCached, 0);
    pool.drop(block, 1, "running");
    assert.equal(pool.numCached, 1);
    pool.hold(block, 2);
    assert.equal(pool.numCached, 0);
    pool.drop(block, 2, "running");
    pool.drop(block, 0, "retained");
    assert.equal(pool.numFree, 1);
  });
});
