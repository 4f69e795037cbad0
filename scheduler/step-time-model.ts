import type { Batch } from "./contracts.ts";
import { DecayedRegression, type RegressionSnapshot } from "./decayed-regression.ts";

/**
 * Sizes of prefill calls while others decode: steps of 16 up to two tiles of ggml's attention kernel on CPU, so that calls
 * deep in a prompt take about as long as early ones, whole tiles beyond. What is smaller than a tile only serves a target
 * that leaves no room for more.
 */
const CHUNK_LADDER = [8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 192, 256, 320, 384, 448, 512] as const;
const MIN_CHUNK = CHUNK_LADDER[0];
const MAX_CHUNK = CHUNK_LADDER[CHUNK_LADDER.length - 1]!;

/** Without a target, decoding streams may slow a prompt's prefill by this factor. */
const MAX_SLOWDOWN = 1.2;

/**
 * ggml's fast attention kernel on CPU needs so many rows in a call: 2,000 tokens into a prompt, fewer take as long as
 * these. Without a target, chunks are never smaller.
 */
const TILE_ROWS = 64;

/**
 * Prompts share a call up to this size, and beyond where larger calls are faster for each token by more than a tenth, as
 * on a GPU. Simulated on two cores with bursts of 4 prompts of 128 tokens, 512 gave the first token after 1,045 ms, 256
 * after 526 at 3 % fewer tokens a second, 128 after 267 at 5 % fewer.
 */
const MIN_SHARED_CALL = 256;
const MAX_WASTE = 0.1;

/**
 * Nor may the default gap be longer than this part of the time of the largest prefill call, less than a tenth of what a
 * prompt of 1,500 tokens takes at once, unless it is too short to be noticed.
 */
const MAX_DEFAULT_PART = 0.3;
const UNNOTICED_MS = 100;

/** Where chunks are judged, the middle of a long prompt; beyond, they shrink. */
const TYPICAL_DEPTH = 768;

/** Until the first prefill has been seen. */
const UNTRAINED_CHUNK = 64;

const NUM_DECODE_FEATURES = 3;
const NUM_PREFILL_FEATURES = 4;

/** What a model learned, as JSON. */
export interface StepTimeSnapshot {
  readonly decode: RegressionSnapshot;
  readonly prefill: RegressionSnapshot;
}

export interface StepObservation {
  readonly batch: Batch;
  /** Tokens held in the KV pool. */
  readonly usedTokens: number;
  readonly durationMs: number;
}

export interface DecodeLoad {
  readonly numDecodeRows: number;
  readonly usedTokens: number;
}

export interface PrefillLoad extends DecodeLoad {
  /** Tokens before the chunk in its sequence. */
  readonly depth: number;
  /** Null lets the model choose. */
  readonly targetItlMs: number | null;
}

/**
 * How long model calls take, learned from every call:
 *
 *   decode(rows, used)     = a + b * rows + c * rows * used
 *   prefill(tokens, depth) = a + b * tokens + c * tokens * (depth + tokens / 2), with a larger c below 64 tokens
 *
 * The last terms are attention: in the paged layout a decode row scans all cells in use, a prefill token those before it.
 */
export class StepTimeModel {
  readonly #decode = new DecayedRegression(NUM_DECODE_FEATURES, 0.98);
  readonly #prefill = new DecayedRegression(NUM_PREFILL_FEATURES, 0.95);

  observe({ batch, usedTokens, durationMs }: StepObservation): void {
    if (batch.kind === "decode") {
      this.#decode.observe(decodeFeatures(batch.numTokens, usedTokens), durationMs);
      return;
    }
    const numAttended = batch.rows.reduce((sum, row) => sum + attendedTokens(row.numTokens, row.start), 0);
    this.#prefill.observe(prefillFeatures(batch.numTokens, numAttended), durationMs);
  }

  snapshot(): StepTimeSnapshot {
    return { decode: this.#decode.snapshot(), prefill: this.#prefill.snapshot() };
  }

  /** Takes over what was learned in an earlier run. Returns false, and changes nothing, where it cannot be used. */
  restore({ decode, prefill }: StepTimeSnapshot): boolean {
    const fits = new DecayedRegression(NUM_PREFILL_FEATURES, 1).restore(prefill);
    return fits && this.#decode.restore(decode) && this.#prefill.restore(prefill);
  }

  decodeMs({ numDecodeRows, usedTokens }: DecodeLoad): number {
    return this.#decode.predict(decodeFeatures(numDecodeRows, usedTokens));
  }

  prefillMs(numTokens: number, depth: number): number {
    return this.#prefill.predict(prefillFeatures(numTokens, attendedTokens(numTokens, depth)));
  }

  /** Of so many tokens in calls of the largest size, each at the start of its prompt. */
  fastPrefillMs(numTokens: number): number {
    return (this.prefillMs(MAX_CHUNK, 0) / MAX_CHUNK) * numTokens;
  }

  /** Tokens to prefill in a step that also decodes: a rung of the ladder, or multiples of the highest where time allows. */
  prefillBudget(load: PrefillLoad): number {
    if (this.#prefill.numObservations === 0) return UNTRAINED_CHUNK;
    const remainingMs = (load.targetItlMs ?? this.defaultItlMs(load)) - this.decodeMs(load);
    const smallest = load.targetItlMs === null ? TILE_ROWS : MIN_CHUNK;
    const fits = (numTokens: number): boolean => this.prefillMs(numTokens, load.depth) <= remainingMs;
    if (!fits(MAX_CHUNK)) return Math.max(smallest, CHUNK_LADDER.findLast(fits) ?? 0);
    let numTokens: number = MAX_CHUNK;
    while (numTokens < 2 ** 16 && fits(numTokens * 2)) numTokens *= 2;
    return numTokens;
  }

  /**
   * With so many tokens a prefill call is about as fast for each of them as with any number: another prompt in it would
   * only delay the first token of the one before, and whoever comes next. Until something is known, the most there are.
   */
  sharedCallLimit(): number {
    if (this.#prefill.numObservations === 0) return MAX_CHUNK;
    const limitMsPerToken = this.fastPrefillMs(1) * (1 + MAX_WASTE);
    const isEfficient = (chunk: number): boolean => this.prefillMs(chunk, 0) / chunk <= limitMsPerToken;
    return CHUNK_LADDER.find((size) => size >= MIN_SHARED_CALL && isEfficient(size)) ?? MAX_CHUNK;
  }

  /**
   * The target when none is set: where the curve bends. A step pays for its decode call and for the fixed cost of a
   * prefill call whatever the chunk, so small chunks stretch a prompt's prefill, and large ones the gap between tokens.
   * The smallest chunk with which the middle of a long prompt takes at most 1.2 times as long as alone buys most of the
   * smoothness for little delay. A fast GPU gets a larger chunk by the same rule.
   */
  defaultItlMs(load: DecodeLoad): number {
    const decodeMs = this.decodeMs(load);
    const limitMsPerToken = (this.prefillMs(MAX_CHUNK, TYPICAL_DEPTH) / MAX_CHUNK) * MAX_SLOWDOWN;
    const isWorthIt = (chunk: number): boolean =>
      (decodeMs + this.prefillMs(chunk, TYPICAL_DEPTH)) / chunk <= limitMsPerToken;
    const chunk = CHUNK_LADDER.find((size) => size >= TILE_ROWS && isWorthIt(size)) ?? MAX_CHUNK;
    const limitMs = Math.max(UNNOTICED_MS, MAX_DEFAULT_PART * this.prefillMs(MAX_CHUNK, 0));
    return Math.min(decodeMs + this.prefillMs(chunk, TYPICAL_DEPTH), limitMs);
  }
}

function decodeFeatures(numRows: number, usedTokens: number): readonly number[] {
  return [1, numRows, numRows * usedTokens];
}

function prefillFeatures(numTokens: number, numAttended: number): readonly number[] {
  return [numTokens, 1, numAttended, numTokens < TILE_ROWS ? numAttended : 0];
}

/** Pairs of a token and an earlier one it looks at. */
function attendedTokens(numTokens: number, depth: number): number {
  return numTokens * (depth + numTokens / 2);
}
