import type { Batch, BatchRow } from "../../scheduler/contracts.ts";
import { GREEDY_SAMPLING } from "../../scheduler/sampling-params.ts";
import type { StepTimeModel } from "../../scheduler/step-time-model.ts";
import type { ModelRunner } from "../../models/model-runner.ts";

export interface CalibrationOptions {
  readonly runner: ModelRunner;
  readonly stepTimes: StepTimeModel;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** No new measurement is started after this long. */
  readonly budgetMs: number;
}

/** Prefill calls on one growing sequence: each rung of the scheduler's ladder, the cheap ones twice. */
const CHUNKS = [
  { numTokens: 64, numCalls: 2 },
  { numTokens: 16, numCalls: 2 },
  { numTokens: 128, numCalls: 2 },
  { numTokens: 32, numCalls: 2 },
  { numTokens: 256, numCalls: 1 },
  { numTokens: 512, numCalls: 1 },
] as const;
const ROW_COUNTS = [1, 4, 16, 64, 256] as const;
const ROWS_BESIDE_LONG = 16;
/** The first call of a new shape also pays for building its graph. */
const NUM_DECODE_CALLS = 4;

/**
 * Teaches the step-time model what calls of this model cost on this machine before anybody waits for them, with a few
 * calls on an otherwise empty memory. Leaves the memory empty.
 */
export function calibrate(options: CalibrationOptions): void {
  const calibration = new Calibration(options);
  calibration.run();
}

class Calibration {
  readonly #options: CalibrationOptions;
  readonly #deadlineMs: number;
  readonly #tokens: number[];
  /** Cells of the KV memory. */
  readonly #capacity: number;
  #numUsedTokens = 0;

  constructor(options: CalibrationOptions) {
    this.#options = options;
    this.#deadlineMs = options.now() + options.budgetMs;
    const { maxModelLen, vocabSize, kvPool } = options.runner.info;
    this.#capacity = kvPool.numBlocks * kvPool.blockSize;
    this.#tokens = Array.from({ length: maxModelLen }, (_, position) => (position * 7919) % vocabSize);
  }

  /** At least one call of each kind, whatever the time: without it the step-time model is of no use. */
  run(): void {
    const { maxNumSeqs, maxNumBatchedTokens } = this.#options.runner.info;
    for (const numRows of ROW_COUNTS) {
      if (numRows <= maxNumSeqs && this.#hasTime(numRows === ROW_COUNTS[0])) this.#decode(numRows);
    }
    for (const chunk of CHUNKS) {
      if (chunk.numTokens <= maxNumBatchedTokens && this.#hasTime(chunk === CHUNKS[0])) this.#prefill(chunk);
    }
    // Again beside a long sequence: what idle cells cost decoding rows shows only there.
    const numRows = Math.min(maxNumSeqs - 1, ROWS_BESIDE_LONG);
    if (numRows > 0 && this.#hasTime(false)) this.#decode(numRows, 1);
    this.#clear(0, numRows + 1);
  }

  #hasTime(isFirst: boolean): boolean {
    return isFirst || this.#options.now() < this.#deadlineMs;
  }

  /** Rows of sequences that begin empty, with ids from `firstSeqId` on; none where the memory has no room for them. */
  #decode(numRows: number, firstSeqId = 0): void {
    if (this.#numUsedTokens + numRows * NUM_DECODE_CALLS > this.#capacity) return;
    const batches = Array.from({ length: NUM_DECODE_CALLS }, (_, start): Batch => {
      const rows = Array.from({ length: numRows }, (__, index) => this.#row(firstSeqId + index, start, 1));
      return { kind: "decode", rows, numTokens: numRows };
    });
    this.#measure(batches);
    this.#clear(firstSeqId, numRows);
    this.#numUsedTokens -= numRows * NUM_DECODE_CALLS;
  }

  #prefill({ numTokens, numCalls }: (typeof CHUNKS)[number]): void {
    const start = this.#numUsedTokens;
    if (start + numTokens * numCalls > this.#tokens.length) return;
    this.#measure(
      Array.from({ length: numCalls }, (_, index): Batch => {
        const row = this.#row(0, start + index * numTokens, numTokens);
        return { kind: "prefill", rows: [row], numTokens };
      }),
    );
  }

  /** Calls of one size: whatever disturbs one only makes it longer, so the shortest tells what each costs. */
  #measure(batches: readonly Batch[]): void {
    const durationMs = Math.min(...batches.map((batch) => this.#time(batch)));
    for (const batch of batches) {
      this.#options.stepTimes.observe({ batch, usedTokens: this.#numUsedTokens, durationMs });
    }
  }

  #time(batch: Batch): number {
    const startMs = this.#options.now();
    this.#options.runner.execute(batch);
    this.#numUsedTokens += batch.numTokens;
    return this.#options.now() - startMs;
  }

  #row(seqId: number, start: number, numTokens: number): BatchRow {
    const tokens = this.#tokens.slice(0, start + numTokens);
    const sequence = {
      requestId: `calibration-${seqId}`,
      seqId,
      tokens,
      numPromptTokens: tokens.length,
      sampling: GREEDY_SAMPLING,
    };
    return { sequence, start, numTokens, logits: "last", sample: true };
  }

  #clear(firstSeqId: number, numSequences: number): void {
    const trims = Array.from({ length: numSequences }, (_, index) => ({
      kind: "trim" as const,
      seqId: firstSeqId + index,
      fromPosition: 0,
    }));
    this.#options.runner.apply(trims);
  }
}
