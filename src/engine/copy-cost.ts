import type { Batch } from "../../scheduler/contracts.ts";
import type { ModelRunner } from "../../models/model-runner.ts";
import { GREEDY_SAMPLING } from "../../scheduler/sampling-params.ts";

export interface CopyCost {
  /** To compute some tokens at the start of a sequence, where they are cheapest. */
  readonly computeMs: number;
  /** To copy their KV state to host memory and back. */
  readonly copyMs: number;
}

const NUM_TOKENS = 16;
/**
 * Most of what it takes to copy so few tokens is the same for many times as many, which is what a sequence has; and
 * giving up host memory, and with it pinned prefixes on disk, must not hang on one noisy start.
 */
const TOLERANCE = 8;
const REPEATS = 3;

/** Measures on an otherwise empty memory, and leaves it empty, what it takes to park a sequence and to compute it again. */
export function measureCopyCost(runner: ModelRunner, now: () => number): CopyCost {
  const cost = { computeMs: Infinity, copyMs: Infinity };
  const range = { slot: 0, seqId: 0, fromPosition: 0, toPosition: NUM_TOKENS };
  const timed = (work: () => void): number => {
    const startMs = now();
    work();
    return now() - startMs;
  };
  for (let repeat = 0; repeat < REPEATS; repeat += 1) {
    const computeMs = timed(() => runner.execute(prefillBatch(runner.info.vocabSize)));
    const copyMs = timed(() =>
      runner.apply([
        { kind: "save", ...range },
        { kind: "trim", seqId: 0, fromPosition: 0 },
        { kind: "restore", ...range },
      ]),
    );
    runner.apply([
      { kind: "trim", seqId: 0, fromPosition: 0 },
      { kind: "discard", slot: 0 },
    ]);
    cost.computeMs = Math.min(cost.computeMs, computeMs);
    cost.copyMs = Math.min(cost.copyMs, copyMs);
  }
  return cost;
}

/** A sequence of usual length comes back sooner by a copy than by computing it again. */
export function isCopyWorthIt({ copyMs, computeMs }: CopyCost): boolean {
  return copyMs < computeMs * TOLERANCE;
}

function prefillBatch(vocabSize: number): Batch {
  const tokens = Array.from({ length: NUM_TOKENS }, (_, position) => (position * 7919) % vocabSize);
  const sequence = {
    requestId: "copy-cost",
    seqId: 0,
    tokens,
    numPromptTokens: NUM_TOKENS,
    sampling: GREEDY_SAMPLING,
  };
  const row = { sequence, start: 0, numTokens: NUM_TOKENS, logits: "none", sample: false } as const;
  return { kind: "prefill", rows: [row], numTokens: NUM_TOKENS };
}
