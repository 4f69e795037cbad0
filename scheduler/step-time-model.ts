import type { Batch } from "./contracts.ts";
import { DecayedRegression, type RegressionSnapshot } from "./decayed-regression.ts";

/**
 * ggml's fast attention kernel on CPU computes tiles of so many rows, and needs at least one: 1,500 tokens into a prompt
 * 62 rows take twice as long as 64, and 65 a quarter longer (ggml/src/ggml-cpu/ops.cpp).
 */
export const TILE_ROWS = 64;
/** What the empty rows of a tile cost, in parts of full ones. Measured with 65 to 112 rows: 0.1 to 0.8. */
const EMPTY_ROW_COST = 0.5;

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

/**
 * How long model calls take, learned from every call:
 *
 *   decode(rows, used)     = a + b * rows + c * rows * used
 *   prefill(tokens, depth) = a + b * tokens + c * tiled(tokens) * (depth + tokens / 2)
 *
 * The last terms are attention: in the paged layout a decode row scans all cells in use, a prefill token those before it,
 * in tiles of rows, whose empty ones count in part; below a tile c is larger.
 */
export class StepTimeModel {
  readonly #decode = new DecayedRegression(NUM_DECODE_FEATURES, 0.98, { canScale: true });
  readonly #prefill = new DecayedRegression(NUM_PREFILL_FEATURES, 0.95, { canScale: true });

  get hasSeenPrefill(): boolean {
    return this.#prefill.numObservations > 0;
  }

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
}

function decodeFeatures(numRows: number, usedTokens: number): readonly number[] {
  return [1, numRows, numRows * usedTokens];
}

function prefillFeatures(numTokens: number, numAttended: number): readonly number[] {
  if (numTokens < TILE_ROWS) return [numTokens, 1, numAttended, numAttended];
  const numEmptyRows = Math.ceil(numTokens / TILE_ROWS) * TILE_ROWS - numTokens;
  return [numTokens, 1, numAttended * (1 + (EMPTY_ROW_COST * numEmptyRows) / numTokens), 0];
}

/** Pairs of a token and an earlier one it looks at. */
function attendedTokens(numTokens: number, depth: number): number {
  return numTokens * (depth + numTokens / 2);
}
