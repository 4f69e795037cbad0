import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { KvCacheManager } from "../../../kvcache/kv-cache-manager.ts";
import type { KvCacheOptions } from "../../../kvcache/kv-cache-options.ts";
import { createKvCacheManager, range } from "../../support/scheduler-builders.ts";

/** Admits a sequence and computes all of it. */
function compute(kv: KvCacheManager, tokens: readonly number[], cacheSalt = ""): number {
  const admission = kv.admit({ key: { tokens, cacheSalt }, useCachedPrefix: true, numReserveBlocks: 0 });
  assert.ok(admission !== null);
  kv.commit(admission.seqId, tokens.length);
  return admission.seqId;
}

/** Computes a sequence and leaves it as a cached branch. */
function cache(kv: KvCacheManager, tokens: readonly number[], cacheSalt = ""): number {
  const seqId = compute(kv, tokens, cacheSalt);
  kv.release(seqId, { retain: true });
  return seqId;
}

/** A manager of 8 blocks of 4 tokens whose operations so far are taken. */
function createFilled(
  fill: (kv: KvCacheManager) => void,
  overrides: Partial<KvCacheOptions> = {},
): KvCacheManager {
  const kv = createKvCacheManager(overrides);
  fill(kv);
  kv.takeOps();
  return kv;
}

describe("KvCacheManager", () => {
  test("shares the full computed blocks of a running sequence", () => {
    const kv = createFilled((it) => compute(it, range(0, 10)));
    const key = { tokens: range(0, 12), cacheSalt: "" };
    assert.deepEqual(kv.admit({ key, useCachedPrefix: true, numReserveBlocks: 0 }), {
      seqId: 1,
      numCachedTokens: 8,
      numRestoredTokens: 0,
    });
    assert.deepEqual(kv.takeOps(), [{ kind: "share", from: 0, to: 1, numTokens: 8 }]);
    assert.deepEqual(kv.counts(), { total: 8, free: 4, cached: 0, used: 4 });
    assert.deepEqual(kv.checkIntegrity(), []);
  });

  test("shares nothing that is not computed yet", () => {
    const kv = createKvCacheManager();
    const key = { tokens: range(0, 9), cacheSalt: "" };
    kv.admit({ key, useCachedPrefix: true, numReserveBlocks: 0 });
    kv.commit(0, 7);
    assert.equal(kv.numCachedTokens(key), 4);
  });

  test("leaves at least one prompt token to compute", () => {
    const kv = createFilled((it) => cache(it, range(0, 8)));
    assert.equal(kv.numCachedTokens({ tokens: range(0, 8), cacheSalt: "" }), 4);
    assert.equal(kv.numCachedTokens({ tokens: range(0, 9), cacheSalt: "" }), 8);
  });

  test("takes no cached prefix for a sequence that must compute all", () => {
    const kv = createFilled((it) => cache(it, range(0, 8)));
    const admission = kv.admit({
      key: { tokens: range(0, 9), cacheSalt: "" },
      useCachedPrefix: false,
      numReserveBlocks: 0,
    });
    assert.equal(admission?.numCachedTokens, 0);
  });

  test("trims the partial tail of a released sequence and keeps its full blocks", () => {
    const kv = createFilled((it) => compute(it, range(0, 10)));
    kv.release(0, { retain: true });
    assert.deepEqual(kv.takeOps(), [{ kind: "trim", seqId: 0, fromPosition: 8 }]);
    assert.deepEqual(kv.counts(), { total: 8, free: 6, cached: 2, used: 0 });
  });

  test("drops a branch that a newcomer covers, after sharing from it", () => {
    const kv = createFilled((it) => cache(it, range(0, 8)));
    compute(kv, range(0, 9));
    assert.deepEqual(kv.takeOps(), [
      { kind: "share", from: 0, to: 1, numTokens: 8 },
      { kind: "trim", seqId: 0, fromPosition: 0 },
    ]);
    assert.deepEqual(kv.checkIntegrity(), []);
  });

  test("drops a branch whose content another sequence has computed again", () => {
    const kv = createFilled((it) => cache(it, range(0, 8)));
    compute(kv, range(0, 8));
    assert.deepEqual(kv.counts(), { total: 8, free: 6, cached: 0, used: 2 });
    assert.deepEqual(kv.checkIntegrity(), []);
  });

  test("keeps nothing of a released sequence that another one covers", () => {
    const kv = createFilled((it) => {
      compute(it, range(0, 9));
      compute(it, [...range(0, 8), 99]);
    });
    kv.release(1, { retain: true });
    assert.deepEqual(kv.takeOps(), [{ kind: "trim", seqId: 1, fromPosition: 0 }]);
  });

  test("evicts the oldest branch, from its tail, only as far as needed", () => {
    const kv = createFilled((it) => {
      cache(it, range(0, 16));
      cache(it, range(100, 16));
    });
    compute(kv, range(200, 5));
    assert.deepEqual(kv.takeOps(), [{ kind: "trim", seqId: 0, fromPosition: 8 }]);
    assert.equal(kv.numCachedTokens({ tokens: range(0, 16), cacheSalt: "" }), 8);
    assert.equal(kv.numCachedTokens({ tokens: range(100, 17), cacheSalt: "" }), 16);
  });

  test("drops a branch that eviction has shortened to what another covers", () => {
    const kv = createFilled((it) => {
      cache(it, range(0, 16));
      compute(it, [...range(0, 8), ...range(50, 8)]);
    });
    compute(kv, range(200, 16));
    assert.deepEqual(kv.takeOps(), [{ kind: "trim", seqId: 0, fromPosition: 0 }]);
    assert.deepEqual(kv.checkIntegrity(), []);
  });

  test("never evicts what a running sequence shares", () => {
    const kv = createFilled((it) => {
      cache(it, range(0, 16));
      compute(it, [...range(0, 16), ...range(50, 8)]);
    });
    const key = { tokens: range(200, 9), cacheSalt: "" };
    assert.equal(kv.admit({ key, useCachedPrefix: true, numReserveBlocks: 0 }), null);
    assert.deepEqual(kv.counts(), { total: 8, free: 2, cached: 0, used: 6 });
  });

  test("does not count on evicting the prefix it is about to share", () => {
    const kv = createFilled((it) => cache(it, range(0, 16)));
    const key = { tokens: range(0, 33), cacheSalt: "" };
    assert.equal(kv.admit({ key, useCachedPrefix: true, numReserveBlocks: 0 }), null);
    assert.deepEqual(kv.takeOps(), []);
  });

  test("keeps the reserve free", () => {
    const kv = createKvCacheManager();
    const key = { tokens: range(0, 28), cacheSalt: "" };
    assert.equal(kv.admit({ key, useCachedPrefix: true, numReserveBlocks: 2 }), null);
    assert.notEqual(kv.admit({ key, useCachedPrefix: true, numReserveBlocks: 1 }), null);
  });

  test("gives up the oldest branch when sequence ids run out, and says no when all of them run", () => {
    const kv = createFilled(
      (it) => {
        cache(it, range(0, 4));
        cache(it, range(100, 4));
      },
      { numSeqIds: 2 },
    );
    assert.equal(compute(kv, range(200, 4)), 0);
    assert.equal(compute(kv, range(300, 4)), 1);
    const key = { tokens: [1], cacheSalt: "" };
    assert.equal(kv.admit({ key, useCachedPrefix: true, numReserveBlocks: 0 }), null);
    assert.deepEqual(kv.checkIntegrity(), []);
  });

  test("keeps at most maxCachedBlocks, the newest", () => {
    const kv = createFilled(() => {}, { maxCachedBlocks: 3 });
    cache(kv, range(0, 8));
    cache(kv, range(100, 8));
    kv.advanceTo(0);
    assert.equal(kv.counts().cached, 3);
    assert.equal(kv.numCachedTokens({ tokens: range(100, 9), cacheSalt: "" }), 8);
  });

  test("gives up what is too much a few blocks a step", () => {
    const kv = createKvCacheManager({ numBlocks: 64, maxCachedBlocks: 0 });
    cache(kv, range(0, 160));
    const numCached: number[] = [];
    while (kv.hasOps) {
      kv.takeOps();
      kv.advanceTo(0);
      numCached.push(kv.counts().cached);
    }
    assert.deepEqual(numCached, [24, 8, 0, 0]);
  });

  test("grows block by block and says no when everything is in use", () => {
    const kv = createFilled((it) => {
      compute(it, range(0, 4));
      compute(it, range(100, 24));
    });
    assert.equal(kv.allocate(0, 8), true);
    assert.equal(kv.allocate(0, 8), true);
    assert.equal(kv.allocate(0, 9), false);
    assert.deepEqual(kv.counts(), { total: 8, free: 0, cached: 0, used: 8 });
  });

  test("releases everything at once where memory cannot be trimmed", () => {
    const kv = createFilled((it) => compute(it, range(0, 8)), { canTrim: false });
    kv.release(0, { retain: true });
    assert.deepEqual(kv.takeOps(), [{ kind: "trim", seqId: 0, fromPosition: 0 }]);
    assert.equal(kv.counts().free, 8);
  });

  test("shares nothing where memory cannot", () => {
    const kv = createFilled((it) => compute(it, range(0, 8)), { canShare: false });
    assert.equal(kv.numCachedTokens({ tokens: range(0, 9), cacheSalt: "" }), 0);
    kv.release(0, { retain: true });
    assert.equal(kv.counts().free, 8);
  });

  test("refuses to work on a sequence that does not run", () => {
    const kv = createFilled((it) => cache(it, range(0, 8)));
    assert.throws(() => kv.commit(0, 8), RangeError);
    assert.throws(() => kv.release(5, { retain: true }), RangeError);
  });

  test("checkIntegrity reports more cells in use than blocks account for", () => {
    const kv = createFilled((it) => compute(it, range(0, 8)));
    assert.deepEqual(kv.checkIntegrity(8), []);
    assert.deepEqual(kv.checkIntegrity(9), ["9 cells are in use, 8 are accounted for"]);
  });
});
