import assert from "node:assert/strict";
import { test } from "node:test";
import { SeqIdPool } from "../../../kvcache/seq-id-pool.ts";

test("SeqIdPool gives the lowest free id, so that ids stay dense", () => {
  const pool = new SeqIdPool(3);
  assert.deepEqual([pool.take(), pool.take(), pool.take(), pool.take()], [0, 1, 2, null]);
  pool.giveBack(1);
  pool.giveBack(0);
  assert.deepEqual([pool.take(), pool.take()], [0, 1]);
  assert.equal(pool.numTaken, 3);
});
