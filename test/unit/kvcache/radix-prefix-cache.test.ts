import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { hashBlock } from "../../../kvcache/hash-block.ts";
import type { PrefixKey, PrefixNode } from "../../../kvcache/prefix-cache.ts";
import { RadixPrefixCache } from "../../../kvcache/radix-prefix-cache.ts";

const BLOCK_SIZE = 2;

function key(tokens: readonly number[], cacheSalt = ""): PrefixKey {
  return { tokens, cacheSalt };
}

/** Records all full blocks of the key as computed by `seqId`. */
function insert(cache: RadixPrefixCache, prefix: PrefixKey, seqId: number): PrefixNode[] {
  const path: PrefixNode[] = [];
  while ((path.length + 1) * BLOCK_SIZE <= prefix.tokens.length) {
    const node = cache.extend(path, prefix);
    if (node === null) break;
    node.holders.add(seqId);
    path.push(node);
  }
  return path;
}

/** Two different blocks with the same hash; by the birthday bound among 2^18 candidates. */
function findCollision(): [number[], number[]] {
  const seen = new Map<number, number[]>();
  for (let token = 0; token < 2 ** 18; token += 1) {
    const block = [token, Math.imul(token, 2_654_435_761) >>> 8];
    const hash = hashBlock(block, 0, BLOCK_SIZE);
    const other = seen.get(hash);
    if (other !== undefined) return [other, block];
    seen.set(hash, block);
  }
  throw new Error("no collision found");
}

describe("RadixPrefixCache", () => {
  test("finds the longest run of equal full blocks", () => {
    const cache = new RadixPrefixCache(BLOCK_SIZE);
    const path = insert(cache, key([1, 2, 3, 4, 5]), 7);
    assert.equal(path.length, 2);
    assert.deepEqual(cache.match(key([1, 2, 3, 4, 5, 6]), 3), path);
    assert.deepEqual(cache.match(key([1, 2, 3, 9]), 2), [path[0]]);
    assert.deepEqual(cache.match(key([2, 1, 3, 4]), 2), []);
  });

  test("is bounded by maxBlocks", () => {
    const cache = new RadixPrefixCache(BLOCK_SIZE);
    insert(cache, key([1, 2, 3, 4]), 0);
    assert.equal(cache.match(key([1, 2, 3, 4]), 1).length, 1);
    assert.deepEqual(cache.match(key([1, 2, 3, 4]), 0), []);
  });

  test("never crosses salts", () => {
    const cache = new RadixPrefixCache(BLOCK_SIZE);
    insert(cache, key([1, 2], "tenant a"), 0);
    assert.deepEqual(cache.match(key([1, 2], "tenant b"), 1), []);
    assert.equal(cache.match(key([1, 2], "tenant a"), 1).length, 1);
  });

  test("compares tokens: a colliding hash is a miss, and the second block stays unindexed", () => {
    const [first, second] = findCollision();
    assert.notDeepEqual(first, second);
    const cache = new RadixPrefixCache(BLOCK_SIZE);
    insert(cache, key(first), 0);
    assert.deepEqual(cache.match(key(second), 1), []);
    assert.equal(insert(cache, key(second), 1).length, 0);
    assert.equal(cache.match(key(first), 1).length, 1);
  });

  test("forgets removed nodes, and the salt with its last node", () => {
    const cache = new RadixPrefixCache(BLOCK_SIZE);
    const prefix = key([1, 2, 3, 4], "salt");
    const path = insert(cache, prefix, 0);
    cache.remove(path[1]!);
    assert.deepEqual([...cache.nodes()], [path[0]]);
    assert.equal(cache.match(prefix, 2).length, 1);
    cache.remove(path[0]!);
    assert.deepEqual([...cache.nodes()], []);
    assert.deepEqual(cache.match(prefix, 2), []);
  });

  test("equal blocks computed twice are one node with two holders", () => {
    const cache = new RadixPrefixCache(BLOCK_SIZE);
    const [first] = insert(cache, key([1, 2]), 0);
    const [second] = insert(cache, key([1, 2]), 1);
    assert.equal(first, second);
    assert.deepEqual([...first!.holders], [0, 1]);
  });
});
