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

/** Prefill calls on one growing sequence: each rung of the scheduler's ladder, at a depth of its own. */
const CHUNKS = [64, 16, 128, 256, 32, 512] as const;
const ROW_COUNTS = [1, 4, 16, 64, 256] as const;
const REPEATS = 3;
/** A first call of a new shape pays for building its graph, which serving rarely does: it is not counted. */
const NUM_UNCOUNTED = 1;

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
  #numUsedTokens = 0;

  constructor(options: CalibrationOptions) {
    this.#options = options;
    this.#deadlineMs = options.now() + options.budgetMs;
    const { maxModelLen, vocabSize } = options.runner.info;
    const numTokens = Math.min(maxModelLen, 1 + CHUNKS.reduce((sum, chunk) => sum + chunk, 0));
    this.#tokens = Array.from({ length: numTokens }, (_, position) => (position * 7919) % vocabSize);
  }

  /** At least one call of each kind, whatever the time: without it the step-time model is of no use. */
  run(): void {
    const { maxNumSeqs, maxNumBatchedTokens } = this.#options.runner.info;
    for (const numRows of ROW_COUNTS) {
      if (numRows <= maxNumSeqs && this.#hasTime(numRows === ROW_COUNTS[0])) this.#decode(numRows);
    }
    for (const chunk of CHUNKS) {
      if (chunk <= maxNumBatchedTokens && this.#hasTime(chunk === CHUNKS[0])) this.#prefill(chunk);
    }
    this.#clear(1);
  }

  #hasTime(isFirst: boolean): boolean {
    return isFirst || this.#options.now() < this.#deadlineMs;
  }

  #decode(numRows: number): void {
    for (let repeat = 0; repeat < REPEATS + NUM_UNCOUNTED; repeat++) {
      const start = repeat;
      const rows = Array.from({ length: numRows }, (_, seqId) => this.#row(seqId, start, 1));
      this.#call({ kind: "decode", rows, numTokens: numRows }, repeat >= NUM_UNCOUNTED);
    }
    this.#clear(numRows);
  }

  #prefill(numTokens: number): void {
    const start = this.#numUsedTokens;
    if (start + numTokens > this.#tokens.length) return;
    this.#call({ kind: "prefill", rows: [this.#row(0, start, numTokens)], numTokens }, true);
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

  #call(batch: Batch, isCounted: boolean): void {
    const { runner, stepTimes, now } = this.#options;
    const startMs = now();
    runner.execute(batch);
    this.#numUsedTokens += batch.numTokens;
    if (isCounted) stepTimes.observe({ batch, usedTokens: this.#numUsedTokens, durationMs: now() - startMs });
  }

  #clear(numSequences: number): void {
    const trims = Array.from({ length: numSequences }, (_, seqId) => ({
      kind: "trim" as const,
      seqId,
      fromPosition: 0,
    }));
    this.#options.runner.apply(trims);
    this.#numUsedTokens = 0;
  }
}
