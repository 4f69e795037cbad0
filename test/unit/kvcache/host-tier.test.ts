import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { KvCacheManager } from "../../../kvcache/kv-cache-manager.ts";
import type { KvCacheOptions } from "../../../kvcache/kv-cache-options.ts";
import { REQUESTS, type PrefixPin } from "../../../kvcache/pins.ts";
import { createKvCacheManager, range } from "../../support/scheduler-builders.ts";

/** 8 blocks of 4 tokens in the pool, as many in host memory, copied by two. */
function createTiered(overrides: Partial<KvCacheOptions> = {}): KvCacheManager {
  return createKvCacheManager({ maxHostBlocks: 8, hostSegmentBlocks: 2, ...overrides });
}

function run(kv: KvCacheManager, tokens: readonly number[], cacheSalt = "", nowMs = 0): number {
  const admission = kv.admit({ key: { tokens, cacheSalt }, useCachedPrefix: true, numReserveBlocks: 0 });
  assert.ok(admission !== null);
  kv.commit(admission.seqId, tokens.length);
  kv.release(admission.seqId, { retain: true });
  kv.advanceTo(nowMs);
  assert.deepEqual(kv.checkIntegrity(), []);
  return admission.numRestoredTokens;
}

function isKnown(kv: KvCacheManager, tokens: readonly number[]): boolean {
  return kv.numCachedTokens({ tokens: [...tokens, 0], cacheSalt: "" }) === tokens.length;
}

describe("HostTier", () => {
  test("takes what the pool evicts, in segments from the front, before it is dropped", () => {
    const kv = createTiered({ maxCachedBlocks: 0 });
    run(kv, range(0, 13));
    assert.deepEqual(kv.takeOps(), [
      { kind: "trim", seqId: 0, fromPosition: 12 },
      { kind: "save", slot: 0, seqId: 0, fromPosition: 0, toPosition: 8 },
      { kind: "save", slot: 1, seqId: 0, fromPosition: 8, toPosition: 12 },
      { kind: "trim", seqId: 0, fromPosition: 0 },
    ]);
    assert.deepEqual(kv.host.counts(), { total: 8, used: 3 });
    assert.equal(kv.counts().free, 8);
  });

  test("gives it back to a sequence that begins the same way, and keeps its copy", () => {
    const kv = createTiered({ maxCachedBlocks: 0 });
    run(kv, range(0, 13));
    kv.takeOps();
    assert.equal(run(kv, [...range(0, 12), ...range(50, 8)]), 12);
    assert.deepEqual(kv.takeOps(), [
      { kind: "restore", slot: 0, seqId: 0, fromPosition: 0, toPosition: 8 },
      { kind: "restore", slot: 1, seqId: 0, fromPosition: 8, toPosition: 12 },
      { kind: "trim", seqId: 0, fromPosition: 20 },
      { kind: "save", slot: 2, seqId: 0, fromPosition: 12, toPosition: 16 },
      { kind: "save", slot: 3, seqId: 0, fromPosition: 16, toPosition: 20 },
      { kind: "trim", seqId: 0, fromPosition: 0 },
    ]);
    assert.deepEqual(kv.host.counts(), { total: 8, used: 5 });
  });

  test("copies the ends of idle branches ahead, so that a large request finds room without a copy", () => {
    const numSaves = (kv: KvCacheManager): number =>
      kv.takeOps().filter(({ kind }) => kind === "save").length;
    const options = { numBlocks: 16, maxHostBlocks: 64, maxCachedBlocks: 16 };
    const prepared = createTiered(options);
    const unprepared = createTiered(options);
    for (const kv of [prepared, unprepared]) {
      for (const first of [0, 100, 200, 300]) run(kv, range(first, 16));
      assert.equal(kv.counts().free, 0);
      assert.equal(numSaves(kv), 0);
    }
    prepared.copyAhead();
    assert.equal(numSaves(prepared), 1, "an eighth of the pool");
    prepared.copyAhead();
    assert.equal(numSaves(prepared), 0, "and no more");
    assert.deepEqual(prepared.checkIntegrity(), []);
    for (const kv of [prepared, unprepared]) run(kv, range(500, 8));
    assert.equal(numSaves(prepared), 0);
    assert.equal(numSaves(unprepared), 1);
    assert.ok(isKnown(prepared, range(0, 16)) && isKnown(unprepared, range(0, 16)));
  });

  test("continues a prefix that the pool still has", () => {
    const kv = createTiered({ maxCachedBlocks: 2 });
    run(kv, range(0, 16));
    kv.takeOps();
    const key = { tokens: range(0, 17), cacheSalt: "" };
    const admission = kv.admit({ key, useCachedPrefix: true, numReserveBlocks: 0 });
    assert.deepEqual(admission, { seqId: 1, numCachedTokens: 16, numRestoredTokens: 8 });
    assert.deepEqual(
      kv.takeOps().map(({ kind }) => kind),
      ["share", "trim", "restore"],
    );
  });

  test("restores the part of a segment that fits the prompt, when there is room for all of it", () => {
    const kv = createTiered({ maxCachedBlocks: 0 });
    run(kv, range(0, 8));
    assert.equal(run(kv, [...range(0, 4), ...range(50, 3)]), 4);
    assert.equal(run(kv, range(0, 4)), 0);
  });

  test("shares nothing between salts", () => {
    const kv = createTiered({ maxCachedBlocks: 0 });
    run(kv, range(0, 9), "a");
    assert.equal(run(kv, range(0, 9), "b"), 0);
    assert.equal(run(kv, range(0, 9), "a"), 8);
  });

  test("discards the least recently used, and never the start of what it keeps", () => {
    const kv = createTiered({ maxCachedBlocks: 0 });
    run(kv, range(0, 16));
    run(kv, range(100, 16));
    run(kv, range(0, 17));
    run(kv, range(200, 8));
    assert.ok(isKnown(kv, range(0, 16)) && isKnown(kv, range(200, 8)));
    assert.ok(isKnown(kv, range(100, 8)) && !isKnown(kv, range(100, 16)));
  });

  test("keeps the front of what is larger than itself", () => {
    const kv = createTiered({ maxCachedBlocks: 0, maxHostBlocks: 5 });
    run(kv, range(0, 28));
    assert.ok(isKnown(kv, range(0, 16)) && !isKnown(kv, range(0, 20)));
  });

  test("forgets what follows a prefix that is lost", () => {
    const kv = createTiered({ maxCachedBlocks: 2 });
    run(kv, range(0, 16));
    assert.equal(kv.host.counts().used, 2);
    const key = { tokens: range(0, 9), cacheSalt: "" };
    const { seqId } = kv.admit({ key, useCachedPrefix: true, numReserveBlocks: 0 })!;
    kv.release(seqId, { retain: false });
    assert.equal(kv.host.counts().used, 0);
    assert.ok(kv.takeOps().some((operation) => operation.kind === "discard" && operation.slot === 0));
    assert.deepEqual(kv.checkIntegrity(), []);
  });

  test("is off where memory cannot be shared or trimmed", () => {
    const kv = createTiered({ maxCachedBlocks: 0, canTrim: false });
    run(kv, range(0, 16));
    assert.deepEqual(kv.host.counts(), { total: 0, used: 0 });
  });
});

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

  test("is nothing where no prefix is to be kept", () => {
    const kv = createKvCacheManager({ maxCachedBlocks: 0, canPin: false });
    runPinned(kv, range(0, 8), { numTokens: 8, ttlMs: 100 });
    kv.advanceTo(1);
    assert.equal(kv.counts().cached, 0);
  });
});
