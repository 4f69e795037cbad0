import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { KvCacheManager } from "../../../kvcache/kv-cache-manager.ts";
import { REQUESTS, type PrefixPin } from "../../../kvcache/pins.ts";
import { createKvCacheManager, range } from "../../support/scheduler-builders.ts";
import { createTiered, isKnown, run } from "../../support/tiered-kv.ts";

const PIN = { owner: "a", untilMs: 100 };

/** Computes a sequence whose first tokens are pinned for that long. */
function runPinned(
  kv: KvCacheManager,
  tokens: readonly number[],
  { owner = REQUESTS, ...wish }: Omit<PrefixPin, "owner"> & { owner?: string },
): void {
  const admission = kv.admit({
    key: { tokens, cacheSalt: "" },
    useCachedPrefix: true,
    numReserveBlocks: 0,
    pins: [{ owner, ...wish }],
  });
  kv.commit(admission!.seqId, tokens.length);
  kv.release(admission!.seqId, { retain: true });
  assert.deepEqual(kv.checkIntegrity(), []);
}

describe("A pinned prefix", () => {
  test("leaves the pool after everything else", () => {
    const kv = createKvCacheManager();
    runPinned(kv, range(0, 16), { numTokens: 8, ttlMs: 100 });
    run(kv, range(100, 16));
    run(kv, range(200, 20));
    assert.ok(isKnown(kv, range(0, 8)) && !isKnown(kv, range(0, 12)) && !isKnown(kv, range(100, 16)));
    run(kv, range(300, 32));
    assert.ok(!isKnown(kv, range(0, 4)), "but never at the cost of a running sequence");
  });

  test("stays in host memory until its time is over", () => {
    const kv = createTiered({ maxCachedBlocks: 0, maxHostBlocks: 4 });
    runPinned(kv, range(0, 8), { numTokens: 8, ttlMs: 100 });
    run(kv, range(100, 16));
    run(kv, range(200, 16));
    assert.ok(isKnown(kv, range(0, 8)) && isKnown(kv, range(200, 8)));
    run(kv, range(300, 16), "", 100);
    assert.ok(!isKnown(kv, range(0, 4)) && isKnown(kv, range(300, 16)));
  });

  test("is kept by a later request too, and for as long as the longest asks", () => {
    const kv = createTiered({ maxCachedBlocks: 0, maxHostBlocks: 4 });
    run(kv, range(0, 8));
    runPinned(kv, range(0, 9), { numTokens: 8, ttlMs: 50 });
    runPinned(kv, range(0, 9), { numTokens: 8, ttlMs: 20 });
    kv.advanceTo(49);
    run(kv, range(100, 16));
    assert.ok(isKnown(kv, range(0, 8)));
  });

  for (const isCached of [false, true]) {
    test(`may be several lengths of one ${isCached ? "cached " : ""}prompt, each for a time of its own`, () => {
      const kv = createTiered({ hostSegmentBlocks: 1 });
      if (isCached) run(kv, range(0, 20));
      const pins = [
        { owner: REQUESTS, numTokens: 16, ttlMs: 50 },
        { owner: REQUESTS, numTokens: 8, ttlMs: 100 },
      ];
      const request = {
        key: { tokens: range(0, 21), cacheSalt: "" },
        useCachedPrefix: true,
        numReserveBlocks: 0,
      };
      const { seqId } = kv.admit({ ...request, pins })!;
      kv.commit(seqId, 21);
      kv.release(seqId, { retain: true });
      const numPinned = [49, 50, 99, 100].map((nowMs) => [...kv.host.pinned(nowMs)].length);
      assert.deepEqual(numPinned, [4, 2, 2, 0]);
    });
  }

  test("can be given up by its owner, while those of others on it go on", () => {
    const kv = createTiered({ maxCachedBlocks: 0, maxHostBlocks: 4 });
    const wish = { numTokens: 16, ttlMs: 100 };
    runPinned(kv, range(0, 16), { ...wish, owner: "long" });
    runPinned(kv, range(0, 16), { ...wish, owner: "short", numTokens: 8 });
    runPinned(kv, range(0, 16), { ...wish, numTokens: 4, ttlMs: 50 });
    kv.unpin({ tokens: range(0, 8), cacheSalt: "" }, "short");
    run(kv, range(100, 16));
    assert.ok(isKnown(kv, range(0, 16)), "the longer one goes on");
    kv.unpin({ tokens: range(0, 16), cacheSalt: "" }, "long");
    assert.equal([...kv.host.pinned(49)].length, 1, "what requests asked for goes on");
    assert.equal([...kv.host.pinned(50)].length, 0, "for as long as they asked");
  });

  test("leaves nothing behind when its time is over", () => {
    const kv = createTiered();
    for (const [index, owner] of ["a", "b", "c"].entries()) {
      runPinned(kv, range(0, 8), { owner, numTokens: 8, ttlMs: 10 });
      kv.advanceTo(10 * (index + 1));
    }
    runPinned(kv, range(0, 8), { owner: "d", numTokens: 8, ttlMs: 20 });
    assert.deepEqual(
      [...kv.host.pinned(30)].map(({ nodes }) => [...nodes[0]!.pins!]),
      [[["d", 50]]],
    );
  });

  test("is kept for its time from the end of its sequence on", () => {
    const kv = createTiered();
    const pins = [{ owner: REQUESTS, numTokens: 8, ttlMs: 100 }];
    const key = { tokens: range(0, 12), cacheSalt: "" };
    const { seqId } = kv.admit({ key, useCachedPrefix: true, numReserveBlocks: 0, pins })!;
    kv.commit(seqId, 12);
    kv.advanceTo(500);
    kv.release(seqId, { retain: true });
    assert.deepEqual([[...kv.host.pinned(599)].length, [...kv.host.pinned(600)].length], [1, 0]);
  });

  test("is copied when its sequence ends, whoever else holds it", () => {
    const kv = createTiered();
    run(kv, range(0, 12));
    runPinned(kv, range(0, 12), { numTokens: 9, ttlMs: 100 });
    assert.deepEqual(
      [...kv.host.pinned(99)].map(({ startBlock, nodes }) => [startBlock, nodes.length]),
      [[0, 2]],
    );
    assert.deepEqual([...kv.host.pinned(100)], []);
  });

  test("can be taken in from outside, from its start on", () => {
    const kv = createTiered();
    const key = { tokens: range(0, 16), cacheSalt: "" };
    assert.equal(kv.host.disk.adopt(key, 2, [PIN], 0), null);
    assert.equal(kv.host.disk.adopt({ ...key, tokens: range(0, 8) }, 0, [PIN], 0)?.slot, 0);
    assert.equal(kv.host.disk.adopt(key, 2, [PIN], 0)?.slot, 1);
    assert.equal(kv.host.disk.adopt(key, 2, [PIN], 0), null, "it is known");
    assert.equal(
      kv.host.disk.adopt({ tokens: range(50, 24), cacheSalt: "" }, 0, [PIN], 0),
      null,
      "there is no room",
    );
    assert.deepEqual(kv.checkIntegrity(), []);
    assert.equal(run(kv, range(0, 17)), 16);
  });

  test("can be one that is cached already", () => {
    const kv = createTiered({ maxCachedBlocks: 0, maxHostBlocks: 4 });
    run(kv, range(0, 8));
    runPinned(kv, range(0, 8), { numTokens: 8, ttlMs: 100 });
    run(kv, range(100, 16));
    assert.ok(isKnown(kv, range(0, 8)));
  });

  for (const layout of ["paged", "streams"] as const) {
    /** Slices of eight blocks; the host has room for the half of one. */
    const small = { maxCachedBlocks: 0, maxHostBlocks: 4, numBlocks: 16, numSeqIds: 2, layout };

    test(`${layout}: stays in the pool where host memory has no room for it, until a running sequence needs it`, () => {
      const kv = createTiered(small);
      runPinned(kv, range(0, 20), { numTokens: 20, ttlMs: 9000 });
      for (const nowMs of [0, 10, 2000]) {
        run(kv, range(100, 12), "", nowMs);
        assert.ok(isKnown(kv, range(0, 20)));
      }
      kv.takeOps();
      kv.advanceTo(4000);
      assert.ok(!kv.hasOps, "and nothing is tried without end");
      for (const cacheSalt of ["a", "b"]) {
        const key = { tokens: range(200, 32), cacheSalt };
        assert.ok(kv.admit({ key, useCachedPrefix: true, numReserveBlocks: 0 }) !== null);
      }
      assert.ok(!isKnown(kv, range(0, 20)));
    });

    test(`${layout}: moves to host memory when another one's time is over there`, () => {
      const kv = createTiered(small);
      runPinned(kv, range(0, 16), { numTokens: 16, ttlMs: 50 });
      kv.advanceTo(0);
      runPinned(kv, range(100, 16), { numTokens: 16, ttlMs: 9000 });
      kv.advanceTo(1);
      assert.deepEqual([kv.counts().cached, kv.host.counts().used], [4, 4]);
      kv.advanceTo(2000);
      assert.deepEqual([kv.counts().cached, kv.host.counts().used], [0, 4]);
      assert.ok(isKnown(kv, range(100, 16)) && !isKnown(kv, range(0, 4)));
    });

    test(`${layout}: stays when its sequence gives way and is not to be parked`, () => {
      const kv = createTiered({ ...small, maxHostBlocks: 0 });
      const pins = [{ owner: "a", numTokens: 8, ttlMs: 100 }];
      const key = { tokens: range(0, 16), cacheSalt: "" };
      const { seqId } = kv.admit({ key, useCachedPrefix: true, numReserveBlocks: 0, pins })!;
      kv.commit(seqId, 16);
      kv.release(seqId, { retain: false });
      kv.advanceTo(1);
      assert.ok(isKnown(kv, range(0, 8)) && !isKnown(kv, range(0, 12)));
    });
  }

  test("streams: is kept by itself when its sequence's id is needed, of use to others and no longer than asked for", () => {
    const kv = createTiered({ layout: "streams", numBlocks: 200, numSeqIds: 2, maxHostBlocks: 400 });
    for (let index = 0; index < 4; index += 1) {
      const tokens = [...range(0, 8), ...range(1_000 * (index + 1), 312)];
      runPinned(kv, tokens, { numTokens: 8, ttlMs: 9_000 });
      kv.takeOps();
    }
    const numPinnedBlocks = [...kv.host.pinned(0)].reduce(
      (sum, { numCopiedBlocks }) => sum + numCopiedBlocks,
      0,
    );
    assert.equal(numPinnedBlocks, 2);
    assert.equal(kv.numCachedTokens({ tokens: range(0, 12), cacheSalt: "" }), 8);
  });

  test("streams: is not given up for the request that wants it, while there is another one", () => {
    const kv = createTiered({
      layout: "streams",
      numBlocks: 60,
      numSeqIds: 3,
      maxHostBlocks: 0,
      maxCachedBlocks: Infinity,
    });
    for (let index = 0; index < 3; index += 1)
      runPinned(kv, range(100 * index, 40), { numTokens: 40, ttlMs: 9_000 });
    const key = { tokens: range(0, 44), cacheSalt: "" };
    assert.equal(kv.admit({ key, useCachedPrefix: true, numReserveBlocks: 0 })?.numCachedTokens, 40);
  });

  test("is nothing where no prefix is to be kept", () => {
    const kv = createKvCacheManager({ maxCachedBlocks: 0, canPin: false });
    runPinned(kv, range(0, 8), { numTokens: 8, ttlMs: 100 });
    kv.advanceTo(1);
    assert.equal(kv.counts().cached, 0);
  });
});
