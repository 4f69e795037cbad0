import type { GgufFacts } from "./gguf/gguf-facts.ts";
import type { KvCacheType } from "./gguf/kv-bytes.ts";
import { KV_CACHE_TYPES, kvBytesPerToken } from "./gguf/kv-bytes.ts";
import type { MemoryAmount } from "./memory-probe.ts";

export type CacheType = KvCacheType;
export const CACHE_TYPE_NAMES: readonly CacheType[] = KV_CACHE_TYPES;

/** Tokens in a block of the KV pool: the grain of sharing and accounting. */
export const BLOCK_SIZE = 16;

/** The library pads the pool to this many cells. */
const POOL_GRAIN_TOKENS = 256;
/** Below this a server is of no use, so a pool that small is refused. */
const MIN_MODEL_LEN = 256;
/** On CPU decode speed stops growing near 16 rows; more only add latency. */
const DEFAULT_MAX_NUM_SEQS = { cpu: 16, gpu: 64 } as const;
/** What a typical request needs; the default pool on CPU holds this much for every row. */
const TYPICAL_REQUEST_TOKENS = 2048;
/** Part of the free RAM that the pool may take unasked. */
const DEFAULT_RAM_SHARE = 0.25;
const MIB = 2 ** 20;

/** The facts of a model that decide its memory. */
export type ModelShape = Pick<
  GgufFacts,
  | "contextLength"
  | "embeddingLength"
  | "feedForwardLength"
  | "keyLength"
  | "numHeads"
  | "numKvHeadsPerLayer"
  | "usesLatentAttention"
  | "valueLength"
  | "vocabSize"
>;

export interface MemoryPlanOptions {
  readonly isGpu: boolean;
  readonly shape: ModelShape;
  readonly weightsBytes: number;
  /** Before the pool is taken and with the weights already paid for. */
  readonly memory: MemoryAmount;
  readonly flashAttention: boolean;
  readonly maxNumBatchedTokens: number;
  readonly cacheTypeK: CacheType;
  readonly cacheTypeV: CacheType;
  readonly kvMemoryBytes: number | null;
  /** Share of the GPU's whole memory that this process may use. */
  readonly gpuMemoryUtilization: number;
  readonly maxModelLen: number | null;
  readonly maxNumSeqs: number | null;
}

export interface MemoryPlan {
  readonly blockSize: number;
  readonly numBlocks: number;
  readonly bytesPerToken: number;
  readonly kvBytes: number;
  readonly weightsBytes: number;
  readonly computeBytes: number;
  readonly memory: MemoryAmount;
  readonly cacheTypeK: CacheType;
  readonly cacheTypeV: CacheType;
  readonly maxModelLen: number;
  readonly maxNumSeqs: number;
  /** Why the pool has this size. */
  readonly reason: string;
}

/** The memory cannot hold what was asked for. The message says what would fit. */
export class MemoryPlanError extends Error {
  override readonly name = "MemoryPlanError";
}

/** Sizes the KV pool. Pure arithmetic; throws MemoryPlanError when not even one request would fit. */
export function planMemory(options: MemoryPlanOptions): MemoryPlan {
  const { shape, memory } = options;
  const bytesPerToken = kvBytesPerToken(shape, options.cacheTypeK, options.cacheTypeV);
  const maxNumSeqs = options.maxNumSeqs ?? DEFAULT_MAX_NUM_SEQS[options.isGpu ? "gpu" : "cpu"];
  const { bytes, reason } = kvBudget(options, bytesPerToken, maxNumSeqs);
  const numTokens = floorTo(bytes / bytesPerToken, POOL_GRAIN_TOKENS);
  const wantedLen = options.maxModelLen ?? Math.min(trainedLength(shape), Math.max(numTokens, MIN_MODEL_LEN));
  if (numTokens < wantedLen)
    throw new MemoryPlanError(explainTooSmall(options, { bytesPerToken, numTokens, wantedLen }));
  return {
    blockSize: BLOCK_SIZE,
    numBlocks: numTokens / BLOCK_SIZE,
    bytesPerToken,
    kvBytes: numTokens * bytesPerToken,
    weightsBytes: options.weightsBytes,
    computeBytes: estimateComputeBytes(options, numTokens),
    memory,
    cacheTypeK: options.cacheTypeK,
    cacheTypeV: options.cacheTypeV,
    maxModelLen: wantedLen,
    maxNumSeqs,
    reason,
  };
}

interface Budget {
  readonly bytes: number;
  readonly reason: string;
}

function kvBudget(options: MemoryPlanOptions, bytesPerToken: number, maxNumSeqs: number): Budget {
  const { memory, kvMemoryBytes } = options;
  // The compute buffers depend on the pool's size only without flash attention; a first guess is enough to leave room.
  const freeBytes = Math.max(0, memory.freeBytes - estimateComputeBytes(options, POOL_GRAIN_TOKENS));
  if (kvMemoryBytes !== null) {
    return {
      bytes: Math.min(kvMemoryBytes, freeBytes),
      reason: kvMemoryBytes > freeBytes ? "all that is free" : "as asked",
    };
  }
  if (options.isGpu) {
    const keptFreeBytes = (1 - options.gpuMemoryUtilization) * memory.totalBytes;
    const share = Math.round(options.gpuMemoryUtilization * 100);
    return {
      bytes: Math.max(0, freeBytes - keptFreeBytes),
      reason: `${share} % of the GPU less weights and buffers`,
    };
  }
  const typicalTokens = Math.min(options.maxModelLen ?? trainedLength(options.shape), TYPICAL_REQUEST_TOKENS);
  const wantedTokens = Math.max(options.maxModelLen ?? 0, maxNumSeqs * typicalTokens);
  const wantedBytes = Math.ceil(wantedTokens / POOL_GRAIN_TOKENS) * POOL_GRAIN_TOKENS * bytesPerToken;
  const shareBytes = DEFAULT_RAM_SHARE * freeBytes;
  if (wantedBytes <= shareBytes)
    return { bytes: wantedBytes, reason: `${typicalTokens} tokens for each of ${maxNumSeqs} rows` };
  return { bytes: shareBytes, reason: `a quarter of the free ${memory.source}` };
}

/**
 * Activations of one call plus its rows of logits; without flash attention also the score matrix, which spans every
 * cell of the pool. An estimate that leans to the high side (measured: within a factor of 1.5 on small models).
 */
export function estimateComputeBytes(options: MemoryPlanOptions, numCells: number): number {
  const { shape, maxNumBatchedTokens, flashAttention } = options;
  const activations = 4 * maxNumBatchedTokens * (6 * shape.embeddingLength + 3 * shape.feedForwardLength);
  const logits = 4 * maxNumOutputs(options.maxNumSeqs ?? DEFAULT_MAX_NUM_SEQS.gpu) * (shape.vocabSize ?? 0);
  const mask = (flashAttention ? 2 : 4) * maxNumBatchedTokens * numCells;
  const scores = flashAttention ? 0 : 4 * shape.numHeads * maxNumBatchedTokens * numCells;
  return activations + logits + mask + scores;
}

/** Rows of logits reserved for one call: decoding needs one a sequence, prompt logprobs are computed in such pieces. */
export function maxNumOutputs(maxNumSeqs: number): number {
  return Math.max(64, maxNumSeqs);
}

interface Shortage {
  readonly bytesPerToken: number;
  readonly numTokens: number;
  readonly wantedLen: number;
}

function explainTooSmall(
  options: MemoryPlanOptions,
  { bytesPerToken, numTokens, wantedLen }: Shortage,
): string {
  const needed = formatBytes(Math.ceil(wantedLen / POOL_GRAIN_TOKENS) * POOL_GRAIN_TOKENS * bytesPerToken);
  const available = formatBytes(options.memory.freeBytes);
  const advice =
    numTokens >= MIN_MODEL_LEN
      ? `--max-model-len ${numTokens} would fit`
      : `not even ${MIN_MODEL_LEN} tokens fit; use a smaller model or cache type`;
  return `One request of ${wantedLen} tokens needs ${needed} of KV memory, more than the pool can have (${available} free): ${advice}.`;
}

/** A file that does not say what it was trained for is not limited by that. */
function trainedLength({ contextLength }: ModelShape): number {
  return contextLength ?? Infinity;
}

function floorTo(value: number, grain: number): number {
  return Math.floor(value / grain) * grain;
}

export function formatBytes(bytes: number): string {
  const mib = bytes / MIB;
  return mib >= 1024 ? `${(mib / 1024).toFixed(2)} GiB` : `${mib.toFixed(mib >= 100 ? 0 : 1)} MiB`;
}

/** A small table for the start of the log. */
export function formatMemoryPlan(plan: MemoryPlan): string {
  const numTokens = plan.numBlocks * plan.blockSize;
  const rows: [string, string][] = [
    ["free " + plan.memory.source, formatBytes(plan.memory.freeBytes)],
    ["weights", formatBytes(plan.weightsBytes)],
    [
      "KV pool",
      `${formatBytes(plan.kvBytes)} = ${plan.numBlocks} blocks = ${numTokens} tokens (${plan.reason})`,
    ],
    ["KV types", `K ${plan.cacheTypeK}, V ${plan.cacheTypeV}, ${plan.bytesPerToken} bytes a token`],
    ["buffers", `about ${formatBytes(plan.computeBytes)}`],
    ["longest request", `${plan.maxModelLen} tokens`],
    ["rows at once", `${plan.maxNumSeqs}`],
  ];
  const width = Math.max(...rows.map(([label]) => label.length));
  return rows.map(([label, value]) => `${label.padEnd(width)}  ${value}`).join("\n");
}
