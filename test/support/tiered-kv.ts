import assert from "node:assert/strict";
import type { KvCacheManager } from "../../kvcache/kv-cache-manager.ts";
import type { KvCacheOptions } from "../../kvcache/kv-cache-options.ts";
import { createKvCacheManager } from "./scheduler-builders.ts";

/** 8 blocks of 4 tokens in the pool, as many in host memory, copied by two. */
export function createTiered(overrides: Partial<KvCacheOptions> = {}): KvCacheManager {
  return createKvCacheManager({ maxHostBlocks: 8, hostSegmentBlocks: 2, ...overrides });
}

/** Computes a sequence and leaves it behind; returns how many of its tokens came from host memory. */
export function run(kv: KvCacheManager, tokens: readonly number[], cacheSalt = "", nowMs = 0): number {
  const admission = kv.admit({ key: { tokens, cacheSalt }, useCachedPrefix: true, numReserveBlocks: 0 });
  assert.ok(admission !== null);
  kv.commit(admission.seqId, tokens.length);
  kv.release(admission.seqId, { retain: true });
  kv.advanceTo(nowMs);
  assert.deepEqual(kv.checkIntegrity(), []);
  return admission.numRestoredTokens;
}

/** All of these tokens are cached. */
export function isKnown(kv: KvCacheManager, tokens: readonly number[]): boolean {
  return kv.numCachedTokens({ tokens: [...tokens, 0], cacheSalt: "" }) === tokens.length;
}
