import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { KvCacheManager } from "../../../kvcache/kv-cache-manager.ts";
import type { KvCacheOptions } from "../../../kvcache/kv-cache-options.ts";
import type { HostSegment, PrefixKey } from "../../../kvcache/prefix-cache.ts";
import { createKvCacheManager, range } from "../../support/scheduler-builders.ts";

/** 8 blocks of 4 tokens in the pool, as many in host memory, copied by two; nothing idle stays in the pool. */
function createTiered(overrides: Partial<KvCacheOptions> = {}): KvCacheManager {
  return createKvCacheManager({ maxHostBlocks: 8, hostSegmentBlocks: 2, maxCachedBlocks: 0, ...overrides });
}

const keyOf = (tokens: readonly number[], cacheSalt = ""): PrefixKey => ({
  tokens: [...tokens, 0],
  cacheSalt,
});

function run(kv: KvCacheManager, tokens: readonly number[], cacheSalt = ""): void {
  const { seqId } = kv.admit({ key: keyOf(tokens, cacheSalt), useCachedPrefix: true, numReserveBlocks: 0 })!;
  kv.commit(seqId, tokens.length);
  kv.release(seqId, { retain: true });
  kv.advanceTo(0);
  assert.deepEqual(kv.checkIntegrity(), []);
}

/** What an idle disk does: writes all that is due. */
function writeAll(kv: KvCacheManager): HostSegment[] {
  const written: HostSegment[] = [];
  for (let next = kv.host.disk.nextToWrite(); next !== null; next = kv.host.disk.nextToWrite()) {
    assert.ok(kv.host.disk.noteWritten(next));
    written.push(next);
  }
  return written;
}

const wanted = (kv: KvCacheManager): HostSegment[] => [...kv.host.disk.index.wanted];
const numCached = (kv: KvCacheManager, tokens: readonly number[], salt = ""): number =>
  kv.numCachedTokens(keyOf(tokens, salt));

/** A prefix that only the disk has. */
function createEvicted(): KvCacheManager {
  const kv = createTiered();
  run(kv, range(0, 16));
  run(kv, range(100, 8));
  writeAll(kv);
  run(kv, range(200, 16));
  run(kv, range(300, 16));
  kv.takeOps();
  assert.equal(numCached(kv, range(0, 16)), 0);
  return kv;
}

describe("DiskExchange", () => {
  test("wants nothing written while half of memory is free, then the older half", () => {
    const kv = createTiered();
    run(kv, range(0, 16));
    assert.equal(kv.host.disk.nextToWrite(), null);
    run(kv, range(100, 16));
    const written = writeAll(kv);
    assert.deepEqual(
      written.map(({ startBlock, nodes }) => [startBlock, nodes[0]!.tokens[0]]),
      [
        [0, 0],
        [2, 8],
      ],
      "first what leads to the rest",
    );
    assert.equal(kv.host.disk.index.numBlocks, 4);
  });

  test("keeps what memory evicts, and brings it back into memory on request", () => {
    const kv = createEvicted();
    const fetch = kv.fetch(keyOf(range(0, 16)));
    assert.ok(!fetch.isDone);
    const [first, second] = wanted(kv) as [HostSegment, HostSegment];
    const slot = kv.host.disk.load(first, 0);
    assert.ok(slot !== null && !fetch.isDone);
    assert.equal(numCached(kv, range(0, 16)), 8);
    assert.ok(kv.host.disk.load(second, 0) !== null && fetch.isDone);
    assert.equal(numCached(kv, range(0, 16)), 16);
    assert.deepEqual(kv.checkIntegrity(), []);
    kv.takeOps();
    const key = keyOf(range(0, 16));
    const admission = kv.admit({ key, useCachedPrefix: true, numReserveBlocks: 0 })!;
    assert.equal(admission.numRestoredTokens, 16);
    assert.deepEqual(
      kv.takeOps().map((operation) => [operation.kind, "slot" in operation && operation.slot]),
      [
        ["restore", slot],
        ["restore", second.slot],
      ],
    );
    assert.ok(kv.host.isFirstUseFromDisk(slot) && !kv.host.isFirstUseFromDisk(slot));
  });

  test("gives a copy a new slot each time, so that a late discard cannot hit it", () => {
    const kv = createEvicted();
    kv.fetch(keyOf(range(0, 8)));
    const [segment] = wanted(kv) as [HostSegment];
    const before = segment.slot;
    const slot = kv.host.disk.load(segment, 0);
    assert.notEqual(slot, before);
  });

  test("lets a fetch end when the file is lost, with all that follows it", () => {
    const kv = createEvicted();
    const fetch = kv.fetch(keyOf(range(0, 16)));
    kv.host.disk.noteRemoved(wanted(kv)[0]!);
    assert.ok(fetch.isDone);
    assert.deepEqual(wanted(kv), []);
    assert.ok(kv.fetch(keyOf(range(0, 16))).isDone);
    assert.deepEqual(kv.checkIntegrity(), []);
  });

  test("a file that is lost takes nothing from memory", () => {
    const kv = createTiered();
    run(kv, range(0, 16));
    run(kv, range(100, 16));
    for (const segment of writeAll(kv)) kv.host.disk.noteRemoved(segment);
    assert.equal(numCached(kv, range(0, 16)), 16);
    assert.deepEqual(kv.checkIntegrity(), []);
  });

  test("finds nothing of another salt", () => {
    const kv = createTiered();
    run(kv, range(0, 16), "mine");
    run(kv, range(100, 16));
    writeAll(kv);
    run(kv, range(200, 16));
    run(kv, range(300, 16));
    assert.ok(kv.fetch(keyOf(range(0, 16), "other")).isDone);
    assert.ok(kv.fetch(keyOf(range(0, 16))).isDone);
    assert.ok(!kv.fetch(keyOf(range(0, 16), "mine")).isDone);
  });

  test("asks for nothing where the pool or memory has it", () => {
    const kv = createTiered({ maxCachedBlocks: Infinity });
    run(kv, range(0, 16));
    assert.ok(kv.fetch(keyOf(range(0, 16))).isDone);
  });

  test("never at the cost of what is pinned: then the fetch ends without it", () => {
    const kv = createEvicted();
    for (const segment of kv.host.segments) kv.host.disk.pin(segment, [{ owner: "a", untilMs: 100 }], 0);
    const fetch = kv.fetch(keyOf(range(0, 8)));
    assert.equal(kv.host.disk.load(wanted(kv)[0]!, 0), null);
    assert.ok(fetch.isDone);
    assert.deepEqual(kv.checkIntegrity(), []);
  });

  test("knows files of earlier runs, from their starts on", () => {
    const kv = createTiered();
    const key = (length: number): PrefixKey => ({ tokens: range(0, length), cacheSalt: "" });
    assert.equal(kv.host.disk.noteFile(key(16), 2, [], 0), null);
    const first = kv.host.disk.noteFile(key(8), 0, [], 0)!;
    assert.ok(kv.host.disk.noteFile(key(16), 2, [], 0) !== null);
    assert.equal(kv.host.disk.noteFile(key(16), 2, [], 0), null, "it is known");
    assert.equal(numCached(kv, range(0, 16)), 0);
    assert.ok(!kv.fetch(keyOf(range(0, 16))).isDone);
    assert.deepEqual(kv.checkIntegrity(), []);
    kv.host.disk.noteRemoved(first);
    assert.equal(kv.host.disk.index.numBlocks, 0);
    assert.deepEqual(kv.checkIntegrity(), []);
  });

  test("in streams reads one whole copy, and not for a few blocks at its end", () => {
    const kv = createTiered({ layout: "streams", numBlocks: 64, numSeqIds: 4, maxHostBlocks: 16 });
    run(kv, range(0, 32));
    run(kv, range(100, 32));
    assert.equal(writeAll(kv).length, 1);
    run(kv, range(200, 32));
    assert.equal(numCached(kv, range(0, 32)), 0);
    const fetch = kv.fetch(keyOf(range(0, 32)));
    assert.equal(wanted(kv).length, 1);
    assert.ok(kv.host.disk.load(wanted(kv)[0]!, 0) !== null && fetch.isDone);
    assert.equal(numCached(kv, range(0, 32)), 32);
    assert.deepEqual(kv.checkIntegrity(), []);
  });

  test("in streams reads no copy of which too little is of use", () => {
    const kv = createTiered({ layout: "streams", numBlocks: 64, numSeqIds: 4, maxHostBlocks: 64 });
    assert.ok(kv.host.disk.noteFile({ tokens: range(0, 4 * 64), cacheSalt: "" }, 0, [], 0) !== null);
    assert.ok(kv.fetch(keyOf([...range(0, 4), 500])).isDone);
    assert.ok(!kv.fetch(keyOf([...range(0, 8), 500])).isDone);
  });
});
