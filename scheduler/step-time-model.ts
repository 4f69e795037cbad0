import type { Batch } from "./contracts.ts";
import { DecayedRegression } from "./decayed-regression.ts";

/** Sizes of prefill calls while others decode. Few sizes keep compute graphs reusable; below 16 the rate collapses. */
const CHUNK_LADDER = [16, 32, 64, 128, 256, 512] as const;
export const MIN_CHUNK = CHUNK_LADDER[0];
const MAX_CHUNK = CHUNK_LADDER[CHUNK_LADDER.length - 1]!;

/** Without a target: the smallest chunk that costs a prompt at most this factor of the time that the largest would take. */
const MAX_SLOWDOWN = 1.25;

/** Until the first prefill has been seen. */
const UNTRAINED_CHUNK = 64;

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
 *   prefill(tokens, depth) = a + b * tokens + c * tokens * (depth + tokens / 2)
 *
 * The last terms are attention: in the paged layout a decode row scans all cells in use, a prefill token those before it.
 */
export class StepTimeModel {
  readonly #decode = new DecayedRegression(3, 0.98);
  readonly #prefill = new DecayedRegression(3, 0.95);

  observe({ batch, usedTokens, durationMs }: StepObservation): void {
    if (batch.kind === "decode") {
      this.#decode.observe(decodeFeatures(batch.numTokens, usedTokens), durationMs);
      return;
    }
    const numAttended = batch.rows.reduce((sum, row) => sum + attendedTokens(row.numTokens, row.start), 0);
    this.#prefill.observe([batch.numTokens, 1, numAttended], durationMs);
  }

  decodeMs({ numDecodeRows, usedTokens }: DecodeLoad): number {
    return this.#decode.predict(decodeFeatures(numDecodeRows, usedTokens));
  }

  prefillMs(numTokens: number, depth: number): number {
    return this.#prefill.predict([numTokens, 1, attendedTokens(numTokens, depth)]);
  }

  /** Tokens to prefill in a step that also decodes: a rung of the ladder, or multiples of the highest where time allows. */
  prefillBudget(load: PrefillLoad): number {
    if (this.#prefill.numObservations === 0) return UNTRAINED_CHUNK;
    if (load.targetItlMs === null) return this.#defaultChunk(load);
    const remainingMs = load.targetItlMs - this.decodeMs(load);
    const fits = (numTokens: number): boolean => this.prefillMs(numTokens, load.depth) <= remainingMs;
    if (!fits(MAX_CHUNK)) return CHUNK_LADDER.findLast(fits) ?? MIN_CHUNK;
    let numTokens: number = MAX_CHUNK;
    while (numTokens < 2 ** 16 && fits(numTokens * 2)) numTokens *= 2;
    return numTokens;
  }

  /** The longest gap between tokens that a prefill causes when no target is set. */
  defaultItlMs(load: DecodeLoad): number {
    return this.decodeMs(load) + this.prefillMs(this.#defaultChunk({ ...load, depth: 0 }), 0);
  }

  /**
   * Where the curve bends. A step pays for decoding once, whatever the chunk, so small chunks stretch a prompt's
   * prefill: by t(decode) + t(chunk) per chunk. Measured on a 2-core CPU with 8 decoders: chunk 64 is 1.3 times,
   * 128 is 1.1 times as slow as 512, while the gap between tokens grows with the chunk. The smallest chunk
   * within a slowdown of 1.25 takes nearly all the smoothness for nearly none of the delay; on a fast GPU it is larger.
   */
  #defaultChunk(load: DecodeLoad & { readonly depth: number }): number {
    const decodeMs = this.decodeMs(load);
    const msPerToken = (chunk: number): number => (decodeMs + this.prefillMs(chunk, load.depth)) / chunk;
    const limit = msPerToken(MAX_CHUNK) * MAX_SLOWDOWN;
    return CHUNK_LADDER.find((chunk) => msPerToken(chunk) <= limit) ?? MAX_CHUNK;
  }
}

function decodeFeatures(numRows: number, usedTokens: number): readonly number[] {
  return [1, numRows, numRows * usedTokens];
}

/** Pairs of a token and an earlier one it looks at. */
function attendedTokens(numTokens: number, depth: number): number {
  return numTokens * (depth + numTokens / 2);
}
