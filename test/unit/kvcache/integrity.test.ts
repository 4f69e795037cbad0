import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { BlockPool } from "../../../kvcache/block-pool.ts";
import type { BlockTable } from "../../../kvcache/block-table.ts";
import { findViolations, type KvCacheState } from "../../../kvcache/integrity.ts";
import { RadixPrefixCache } from "../../../kvcache/radix-prefix-cache.ts";
import { SeqIdPool } from "../../../kvcache/seq-id-pool.ts";

interface Broken {
  readonly state: KvCacheState;
  readonly table: BlockTable;
  readonly pool: BlockPool;
}

/** Sound state of one running sequence with a full block of two tokens and an open one. */
function createState(): Broken {
  const pool = new BlockPool(4);
  const seqIds = new SeqIdPool(2);
  const prefixes = new RadixPrefixCache(2);
  const seqId = seqIds.take()!;
  const key = { tokens: [1, 2, 3], cacheSalt: "" };
  const blocks = [pool.take(seqId)!, pool.take(seqId)!];
  const path = [prefixes.extend([], key)!];
  path[0]!.holders.add(seqId);
  const table: BlockTable = { seqId, key, blocks, path, pins: [], kind: "running" };
  const tables = new Map([[seqId, table]]);
  const state = {
    blockSize: 2,
    pool,
    seqIds,
    tables,
    branches: new Map(),
    nodes: [...prefixes.nodes()],
    segments: [],
    filed: [],
    wanted: [],
    hostCounts: { total: 0, used: 0 },
    numUsedCells: 3,
  };
  return { state, table, pool };
}

const breakages: Readonly<Record<string, (broken: Broken) => void>> = {
  "a holder too many": ({ pool }) => pool.blocks[3]!.holders.add(1),
  "a holder too few": ({ table }) => table.blocks[0]!.holders.delete(table.seqId),
  "a wrong count of running holders": ({ table }) => (table.blocks[0]!.numRunningHolders = 2),
  "a block missing in the table": ({ table }) => table.blocks.pop(),
  "an open block with two holders": ({ table }) => table.blocks[1]!.holders.add(1),
  "a table of the wrong kind": ({ table }) => (table.kind = "retained"),
  "a node its holder does not reach": ({ table }) => table.path.pop(),
  "an identity of other tokens": ({ table }) => ((table.key.tokens as number[])[0] = 9),
  "an id that is free but in use": ({ state }) => state.seqIds.giveBack(0),
  "an id that is taken but unused": ({ state }) => state.seqIds.take(),
};

describe("findViolations", () => {
  test("is silent about sound state", () => {
    assert.deepEqual(findViolations(createState().state), []);
  });

  for (const [name, breakIt] of Object.entries(breakages)) {
    test(`finds ${name}`, () => {
      const broken = createState();
      breakIt(broken);
      assert.notDeepEqual(findViolations(broken.state), []);
    });
  }
});
