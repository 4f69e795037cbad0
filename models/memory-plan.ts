import type { KvLayout } from "../scheduler/contracts.ts";
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
/** What a typical request needs; the default pool of the paged layout on CPU holds this much for every row. */
const TYPICAL_REQUEST_TOKENS = 2048;
/** Part of the free RAM that the pool may take unasked. */
const DEFAULT_RAM_SHARE = 0.25;
/** Part that it may take at most: a machine without any free RAM kills the engine, or stalls. */
const MAX_RAM_SHARE = 0.9;
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
  readonly kvLayout: KvLayout;
  /** The streams layout has a multiple of so many slices, whatever the number of rows; 1 by default. */
  readonly streamMultiple?: number;
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
  readonly kvLayout: KvLayout;
  /** In the streams layout, slices of the pool. */
  readonly numStreams: number;
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
  const wantedNumSeqs = wantedRows(options);
  const costs = costsOf(options, wantedNumSeqs);
  const isPaged = options.kvLayout === "paged";
  const wantedNumSlices = isPaged ? wantedNumSeqs : ceilTo(options.streamMultiple ?? 1, wantedNumSeqs);
  const pool = poolSize(options, costs, wantedNumSlices);
  const { numStreams, sliceTokens } = cut(pool.numTokens, options, wantedNumSlices);
  const longest = Math.min(trainedLength(options.shape), Math.max(sliceTokens, MIN_MODEL_LEN));
  const maxModelLen = options.maxModelLen ?? longest;
  if (sliceTokens < maxModelLen)
    throw new MemoryPlanError(explainTooSmall(options, costs, sliceTokens, maxModelLen));
  const numTokens = isPaged ? pool.numTokens : numStreams * sliceTokens;
  const maxNumSeqs = isPaged ? wantedNumSeqs : Math.min(wantedNumSeqs, numStreams);
  const { reason } = pool;
  return {
    kvLayout: options.kvLayout,
    numStreams,
    blockSize: BLOCK_SIZE,
    numBlocks: numTokens / BLOCK_SIZE,
    bytesPerToken: costs.bytesPerToken,
    kvBytes: numTokens * costs.bytesPerToken,
    weightsBytes: options.weightsBytes,
    computeBytes: costs.computeBytes + numTokens * costs.computeBytesPerToken,
    memory: options.memory,
    cacheTypeK: options.cacheTypeK,
    cacheTypeV: options.cacheTypeV,
    maxModelLen,
    maxNumSeqs,
    reason,
  };
}

/** What one sequence can have: the whole pool, or in the streams layout a slice of it. */
function cut(
  numTokens: number,
  { kvLayout, maxModelLen, streamMultiple = 1 }: MemoryPlanOptions,
  maxNumSeqs: number,
): { readonly numStreams: number; readonly sliceTokens: number } {
  if (kvLayout === "paged") return { numStreams: 1, sliceTokens: numTokens };
  const shortest = ceilToGrain(maxModelLen ?? MIN_MODEL_LEN);
  const most = Math.min(maxNumSeqs, Math.floor(numTokens / shortest));
  const numStreams = Math.max(streamMultiple, most - (most % streamMultiple));
  return { numStreams, sliceTokens: floorToGrain(numTokens / numStreams) };
}

interface Costs {
  /** KV memory of one token. */
  readonly bytesPerToken: number;
  /** Buffers of a call that do not depend on the pool, and what each token of the pool adds to them. */
  readonly computeBytes: number;
  readonly computeBytesPerToken: number;
}

/**
 * Buffers hold the activations of one call, its rows of logits and the attention mask, which spans the whole pool;
 * without flash attention also the matrix of scores, a mask's size for every head.
 * Leans to the high side: measured 46 MiB (62 estimated) and, without flash attention, 646 MiB (700) for a model of
 * 135M parameters and a pool of 32,768 tokens.
 */
function costsOf({ shape, ...options }: MemoryPlanOptions, maxNumSeqs: number): Costs {
  const { maxNumBatchedTokens, flashAttention, kvLayout } = options;
  // A call sees the slices of its sequences only, and prompts have a call each.
  const visiblePart = kvLayout === "paged" ? 1 : 1 / maxNumSeqs;
  const activations = maxNumBatchedTokens * (6 * shape.embeddingLength + 3 * shape.feedForwardLength);
  const logits = maxNumOutputs(maxNumSeqs) * (shape.vocabSize ?? 0);
  return {
    bytesPerToken: kvBytesPerToken(shape, options.cacheTypeK, options.cacheTypeV),
    computeBytes: 4 * (activations + logits),
    computeBytesPerToken: visiblePart * maxNumBatchedTokens * (flashAttention ? 2 : 4 * (1 + shape.numHeads)),
  };
}

interface PoolSize {
  readonly numTokens: number;
  readonly reason: string;
}

function poolSize(options: MemoryPlanOptions, costs: Costs, maxNumSeqs: number): PoolSize {
  const { memory, maxModelLen } = options;
  const freeBytes = Math.max(0, memory.freeBytes - costs.computeBytes);
  const fitting = (bytes: number): number =>
    floorToGrain(Math.max(0, bytes) / (costs.bytesPerToken + costs.computeBytesPerToken));
  if (options.kvMemoryBytes !== null) {
    const asked = floorToGrain(options.kvMemoryBytes / costs.bytesPerToken);
    const most = fitting(options.isGpu ? freeBytes : MAX_RAM_SHARE * freeBytes);
    return asked <= most
      ? { numTokens: asked, reason: "as asked" }
      : { numTokens: most, reason: "what the free memory allows, which is less than asked" };
  }
  const longest = maxModelLen ?? trainedLength(options.shape);
  if (options.isGpu) {
    const keptFreeBytes = (1 - options.gpuMemoryUtilization) * memory.totalBytes;
    const share = `${Math.round(options.gpuMemoryUtilization * 100)} % of the GPU less weights and buffers`;
    return smallest(
      { numTokens: fitting(freeBytes - keptFreeBytes), reason: share },
      {
        numTokens: ceilToGrain(maxNumSeqs * longest),
        reason: `the longest request for each of ${maxNumSeqs} rows`,
      },
    );
  }
  const perRow = defaultRowTokens(options);
  return smallest(
    { numTokens: fitting(DEFAULT_RAM_SHARE * freeBytes), reason: `a quarter of the free ${memory.source}` },
    {
      numTokens: ceilToGrain(Math.max(maxModelLen ?? 0, maxNumSeqs * perRow)),
      reason: `${perRow} tokens for each of ${maxNumSeqs} rows`,
    },
  );
}

/** Rows of one pool lend each other what they do not need; a slice holds the longest request that such a pool would. */
function defaultRowTokens(options: MemoryPlanOptions): number {
  const { kvLayout, maxModelLen, shape } = options;
  const longest = maxModelLen ?? trainedLength(shape);
  const typical = Math.min(longest, TYPICAL_REQUEST_TOKENS);
  if (kvLayout === "paged") return typical;
  return ceilToGrain(maxModelLen ?? Math.min(longest, wantedRows(options) * typical));
}

function wantedRows({ maxNumSeqs, isGpu }: MemoryPlanOptions): number {
  return maxNumSeqs ?? DEFAULT_MAX_NUM_SEQS[isGpu ? "gpu" : "cpu"];
}

function smallest(first: PoolSize, second: PoolSize): PoolSize {
  return second.numTokens < first.numTokens ? second : first;
}

function floorToGrain(numTokens: number): number {
  return Math.floor(numTokens / POOL_GRAIN_TOKENS) * POOL_GRAIN_TOKENS;
}

function ceilToGrain(numTokens: number): number {
  return ceilTo(POOL_GRAIN_TOKENS, numTokens);
}

function ceilTo(grain: number, value: number): number {
  return Math.ceil(value / grain) * grain;
}

/** Rows of logits reserved for one call: decoding needs one a sequence, prompt logprobs are computed in such pieces. */
export function maxNumOutputs(maxNumSeqs: number): number {
  return Math.max(64, maxNumSeqs);
}

function explainTooSmall(
  options: MemoryPlanOptions,
  { bytesPerToken }: Costs,
  numTokens: number,
  wantedLen: number,
): string {
  const neededBytes = ceilToGrain(wantedLen) * bytesPerToken;
  const { kvMemoryBytes, memory, kvLayout } = options;
  // The option is what is short, where the machine has the memory.
  const isOptionShort =
    kvLayout === "paged" && kvMemoryBytes !== null && neededBytes <= MAX_RAM_SHARE * memory.freeBytes;
  const available = isOptionShort
    ? `--kv-memory allows ${formatBytes(kvMemoryBytes)}`
    : `${formatBytes(memory.freeBytes)} free`;
  const advice = [
    ...(isOptionShort ? [`--kv-memory ${Math.ceil(neededBytes / MIB)}MiB`] : []),
    ...(numTokens >= MIN_MODEL_LEN ? [`--max-model-len ${numTokens}`] : []),
  ];
  const hopeless = `not even ${MIN_MODEL_LEN} tokens fit; use a smaller model or cache type`;
  const end = advice.length > 0 ? `${advice.join(" or ")} would fit` : hopeless;
  return `One request of ${wantedLen} tokens needs ${formatBytes(neededBytes)} of KV memory, more than the pool can have (${available}): ${end}.`;
}

/** A file that does not say what it was trained for is not limited by that. */
function trainedLength({ contextLength }: ModelShape): number {
  return contextLength ?? Infinity;
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
    ["layout", plan.kvLayout],
  ];
  const width = Math.max(...rows.map(([label]) => label.length));
  return rows.map(([label, value]) => `${label.padEnd(width)}  ${value}`).join("\n");
}
