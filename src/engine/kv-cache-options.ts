import type { KvCacheOptions } from "../../kvcache/kv-cache-options.ts";
import { MAX_PAGED_SEQ_IDS } from "../../models/llama/paged-memory.ts";
import { formatBytes } from "../../models/memory-plan.ts";
import type { ModelInfo } from "../../models/model-info.ts";
import type { CopyCost } from "./copy-cost.ts";

export interface CacheSettings {
  /** Keep prefixes of finished sequences. */
  readonly prefixCache: boolean;
  /** Most memory for copies of KV blocks outside the pool; null takes a share of the free RAM. */
  readonly hostMemoryBytes: number | null;
}

/**
 * In the paged layout every decoding row scans all cells in use, idle ones too. On CPU 8,000 idle tokens made a step of
 * 16 rows a fifth longer, so prefixes nobody runs move to host memory at once, from where a copy of some milliseconds
 * for 1,000 tokens brings them back. Without host memory this share of the pool is spent on them. A GPU hides the scan.
 */
const CPU_CACHED_SHARE = 0.25;

/** Part of the free RAM that copies may take unasked. */
const DEFAULT_HOST_SHARE = 0.125;

/** Position and owner of each cell, which the library writes beside keys and values. */
const METADATA_BYTES_PER_TOKEN = 12;

/** How much of which memory the blocks of this model get. */
export function kvCacheOptions(
  info: ModelInfo,
  settings: CacheSettings,
  freeRamBytes: number,
): KvCacheOptions {
  const { kvPool, capabilities } = info;
  const maxHostBlocks = numHostBlocks(info, settings, freeRamBytes);
  return {
    numBlocks: kvPool.numBlocks,
    blockSize: kvPool.blockSize,
    layout: info.kvLayout,
    numSeqIds: info.kvLayout === "streams" ? info.maxNumSeqs : MAX_PAGED_SEQ_IDS,
    maxCachedBlocks: numCachedBlocks(info, settings, maxHostBlocks > 0),
    canPin: settings.prefixCache,
    maxHostBlocks,
    canShare: capabilities.canShare,
    canTrim: capabilities.canTrim,
  };
}

/** One line for the operator. */
export function describeHostTier(
  { kvPool }: ModelInfo,
  maxHostBlocks: number,
  cost: CopyCost | null,
): string {
  const times =
    cost === null
      ? ""
      : ` (measured: ${cost.copyMs.toFixed(2)} ms to copy, ${cost.computeMs.toFixed(2)} ms to compute)`;
  if (maxHostBlocks === 0) return `what the KV pool gives up is computed again${times}`;
  const numTokens = maxHostBlocks * kvPool.blockSize;
  const size = formatBytes(numTokens * (kvPool.bytesPerToken + METADATA_BYTES_PER_TOKEN));
  return `what the KV pool gives up is kept in host memory: up to ${size}, ${numTokens} tokens${times}`;
}

/**
 * In the streams layout an idle prefix would take the place of a sequence and leave a hole in the batch, so it moves to
 * host memory at once.
 */
function numCachedBlocks(
  { kvPool, kvLayout, backend }: ModelInfo,
  { prefixCache }: CacheSettings,
  hasHostMemory: boolean,
): number {
  if (!prefixCache || kvLayout === "streams") return 0;
  if (backend !== "cpu") return kvPool.numBlocks;
  return hasHostMemory ? 0 : Math.floor(kvPool.numBlocks * CPU_CACHED_SHARE);
}

/** The library saves only the window of a sliding-window model, which no other sequence could share. */
function numHostBlocks(info: ModelInfo, settings: CacheSettings, freeRamBytes: number): number {
  const { kvPool, capabilities } = info;
  if (!settings.prefixCache || capabilities.hasSlidingWindow) return 0;
  const sizeBytes = settings.hostMemoryBytes ?? DEFAULT_HOST_SHARE * freeRamBytes;
  return Math.floor(sizeBytes / (kvPool.blockSize * (kvPool.bytesPerToken + METADATA_BYTES_PER_TOKEN)));
}
