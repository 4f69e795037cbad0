import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { KvCacheManager } from "../../../kvcache/kv-cache-manager.ts";
import { range } from "../../support/scheduler-builders.ts";
import { createTiered, isKnown, run } from "../../support/tiered-kv.ts";

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
