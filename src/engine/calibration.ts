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

/** Prefill calls on one growing sequence: each rung of the scheduler's ladder, the cheap ones first and twice. */
const SMALL_CHUNKS = [
  { numTokens: 64, numCalls: 2 },
  { numTokens: 16, numCalls: 2 },
  { numTokens: 128, numCalls: 2 },
] as const;
const OTHER_CHUNKS = [
  { numTokens: 256, numCalls: 1 },
  // Deep enough to show what few rows pay for looking back.
  { numTokens: 32, numCalls: 2 },
  { numTokens: 512, numCalls: 1 },
] as const;
const ROW_COUNTS = [1, 4, 16, 64, 256] as const;
/** Sequences that decode with a context of their own, and its length: a block less than the small chunks have computed. */
const MAX_FILLED_ROWS = 16;
const FILLED_TOKENS = 400;
const SLOT = -1;
/** The first call of a new shape also pays for building its graph. */
const NUM_DECODE_CALLS = 4;

interface Chunk {
  readonly numTokens: number;
  readonly numCalls: number;
}

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
    const prefill = (chunks: readonly Chunk[]): void => {
      for (const chunk of chunks) {
        const isFirst = chunk === SMALL_CHUNKS[0];
        if (chunk.numTokens <= maxNumBatchedTokens && this.#hasTime(isFirst)) this.#prefill(chunk);
      }
    };
    prefill(SMALL_CHUNKS);
    if (this.#hasTime(false)) this.#decodeFilled();
    prefill(OTHER_CHUNKS);
    this.#clear(0, 1);
  }

  /**
   * What the cells in use cost decoding rows shows only where there are many, for which the first sequence is copied:
   * computing as much would take longer than all the rest.
   */
  #decodeFilled(): void {
    const { capabilities, maxNumSeqs } = this.#options.runner.info;
    const room = Math.floor((this.#capacity - this.#numUsedTokens) / (FILLED_TOKENS + NUM_DECODE_CALLS));
    const numRows = Math.min(maxNumSeqs - 1, MAX_FILLED_ROWS, room - 1);
    const canCopy = capabilities.canTrim && !capabilities.hasSlidingWindow;
    if (!canCopy || numRows < 1 || this.#numUsedTokens < FILLED_TOKENS) return;
    const range = { slot: SLOT, fromPosition: 0, toPosition: FILLED_TOKENS };
    const ids = Array.from({ length: numRows }, (_, index) => index + 1);
    this.#options.runner.apply([
      { kind: "save", seqId: 0, ...range },
      ...ids.map((seqId) => ({ kind: "restore" as const, seqId, ...range })),
      { kind: "discard", slot: SLOT },
    ]);
    this.#numUsedTokens += numRows * FILLED_TOKENS;
    this.#decode(numRows, { firstSeqId: 1, start: FILLED_TOKENS });
    this.#numUsedTokens -= numRows * FILLED_TOKENS;
  }

  #hasTime(isFirst: boolean): boolean {
    return isFirst || this.#options.now() < this.#deadlineMs;
  }

  /** Rows of sequences with ids from `firstSeqId` on and `start` tokens; none where the memory has no room for them. */
  #decode(numRows: number, { firstSeqId, start } = { firstSeqId: 0, start: 0 }): void {
    if (this.#numUsedTokens + numRows * NUM_DECODE_CALLS > this.#capacity) return;
    const batches = Array.from({ length: NUM_DECODE_CALLS }, (_, call): Batch => {
      const rows = Array.from({ length: numRows }, (__, index) =>
        this.#row(firstSeqId + index, start + call, 1),
      );
      return { kind: "decode", rows, numTokens: numRows };
    });
    this.#measure(batches);
    this.#clear(firstSeqId, numRows);
    this.#numUsedTokens -= numRows * NUM_DECODE_CALLS;
  }

  #prefill({ numTokens, numCalls }: Chunk): void {
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
