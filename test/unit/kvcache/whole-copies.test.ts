import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { KvCacheManager } from "../../../kvcache/kv-cache-manager.ts";
import { createKvCacheManager, range } from "../../support/scheduler-builders.ts";

const LENGTH = 40 * 32;
const LONG = range(0, LENGTH);

/** Eight slices of 400 blocks of 4 tokens, and host memory for what ends. */
function createStreams(): KvCacheManager {
  const numSeqIds = 8;
  const options = { numBlocks: 400 * numSeqIds, numSeqIds, maxCachedBlocks: 0, maxHostBlocks: 2_000 };
  return createKvCacheManager({ layout: "streams", ...options });
}

function admit(kv: KvCacheManager, tokens: readonly number[]): { seqId: number; numCachedTokens: number } {
  const key = { tokens: [...tokens, 9_999], cacheSalt: "" };
  const numExpected = kv.numCachedTokens(key);
  const { seqId, numCachedTokens } = kv.admit({ key, useCachedPrefix: true, numReserveBlocks: 0 })!;
  assert.equal(numCachedTokens, numExpected);
  kv.commit(seqId, tokens.length);
  assert.deepEqual(kv.checkIntegrity(), []);
  return { seqId, numCachedTokens };
}

/** A sequence from its beginning to its end, which leaves a copy in host memory. */
function serve(kv: KvCacheManager, tokens: readonly number[]): void {
  kv.release(admit(kv, tokens).seqId, { retain: true });
  kv.advanceTo(0);
  while (kv.hasOps) {
    kv.takeOps();
    kv.advanceTo(0);
  }
  assert.deepEqual(kv.checkIntegrity(), []);
}

describe("Where copies are of whole sequences, a prefix", () => {
  test("is not copied with a sequence of which it is too small a part", () => {
    const kv = createStreams();
    admit(kv, LONG);
    assert.equal(admit(kv, [...range(0, 36), 7_000]).numCachedTokens, 0);
    assert.deepEqual(kv.takeOps(), []);
    assert.equal(admit(kv, [...range(0, 40), 7_001]).numCachedTokens, 40);
    const copied = { numTokens: 40, numCopiedTokens: LENGTH };
    assert.deepEqual(kv.takeOps(), [{ kind: "share", from: 0, to: 2, ...copied }]);
  });

  test("is copied from the shortest sequence that has it", () => {
    const kv = createStreams();
    admit(kv, LONG);
    const { seqId } = admit(kv, range(0, 64));
    kv.takeOps();
    assert.equal(admit(kv, [...range(0, 36), 7_000]).numCachedTokens, 36);
    const copied = { numTokens: 36, numCopiedTokens: 64 };
    assert.deepEqual(kv.takeOps(), [{ kind: "share", from: seqId, to: 2, ...copied }]);
  });

  test("is copied from host memory where that holds less than any sequence", () => {
    const kv = createStreams();
    serve(kv, range(0, 16));
    admit(kv, LONG);
    kv.takeOps();
    assert.equal(admit(kv, [...range(0, 16), 7_000]).numCachedTokens, 16);
    const range16 = { fromPosition: 0, toPosition: 16, numCopiedTokens: 16 };
    assert.deepEqual(kv.takeOps(), [{ kind: "restore", slot: 0, seqId: 1, ...range16 }]);
  });

  test("is not copied with a slot of which it is too small a part, but a shorter one with a shorter slot", () => {
    const kv = createStreams();
    serve(kv, LONG);
    assert.equal(admit(kv, [...range(0, 36), 7_000]).numCachedTokens, 0);
    const both = createStreams();
    serve(both, range(0, 16));
    serve(both, LONG);
    assert.equal(admit(both, [...range(0, 36), 7_000]).numCachedTokens, 16);
    assert.deepEqual(
      both.takeOps().map(({ kind }) => kind),
      ["restore"],
    );
  });

  test("is told with all that is copied", () => {
    const kv = createStreams();
    serve(kv, range(0, 16));
    kv.release(admit(kv, range(0, 64)).seqId, { retain: true });
    kv.advanceTo(0);
    const saved = kv.takeOps().find(({ kind }) => kind === "save");
    assert.deepEqual(saved, { kind: "save", slot: 1, seqId: 0, fromPosition: 0, toPosition: 64 });
    admit(kv, range(0, 32));
    const restored = { fromPosition: 0, toPosition: 32, numCopiedTokens: 64 };
    assert.deepEqual(kv.takeOps(), [{ kind: "restore", slot: 1, seqId: 0, ...restored }]);
  });
});
