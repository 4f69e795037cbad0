import type { Batch } from "../../scheduler/contracts.ts";
import { StepTimeModel } from "../../scheduler/step-time-model.ts";
import { createSamplingParams } from "./scheduler-builders.ts";

const VIEW = { requestId: "", seqId: 0, tokens: [], numPromptTokens: 0, sampling: createSamplingParams() };

/** A call of one row. */
export function createBatch(kind: Batch["kind"], numTokens: number, start = 0): Batch {
  const row = { sequence: VIEW, start, numTokens, logits: "none", sample: false } as const;
  return { kind, rows: [row], numTokens };
}

/** Of a machine with one attention kernel for all sizes. */
export function prefillMs(numTokens: number, depth: number): number {
  return 8 + 2.2 * numTokens + 0.0005 * numTokens * (depth + numTokens / 2);
}

/** As on a CPU: tiles of 64 rows, of which empty ones cost half, and another, slower kernel for fewer. */
export function tiledPrefillMs(numTokens: number, depth: number): number {
  const numTiledRows = (Math.ceil(numTokens / 64) * 64 + numTokens) / 2;
  const attentionMs = numTokens < 64 ? 0.002 * numTokens : 0.0006 * numTiledRows;
  return 8 + 2.2 * numTokens + attentionMs * (depth + numTokens / 2);
}

/** What was learned from calls of several sizes and depths; a decode call takes 10 + 2 ms a row. */
export function learnStepTimes(timeOf: (numTokens: number, depth: number) => number): StepTimeModel {
  const model = new StepTimeModel();
  for (let index = 0; index < 300; index += 1) {
    const numRows = 1 + (index % 16);
    model.observe({ batch: createBatch("decode", numRows), usedTokens: 0, durationMs: 10 + 2 * numRows });
    const numTokens = [16, 48, 64, 128, 256, 512][index % 6]!;
    const depth = 500 * (index % 5);
    model.observe({
      batch: createBatch("prefill", numTokens, depth),
      usedTokens: 0,
      durationMs: timeOf(numTokens, depth),
    });
  }
  return model;
}
