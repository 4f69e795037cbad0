import type { ModelRunner } from "../../models/model-runner.ts";
import type { Batch, BatchRow } from "../../scheduler/contracts.ts";
import { GREEDY_SAMPLING } from "../../scheduler/sampling-params.ts";

/** Above and below 64 rows, where kernels change. */
const NUM_PROMPT_TOKENS = 70;
const NUM_DECODED_TOKENS = 11;
const NUM_TOP = 20;

/** How the same tokens are computed: the sequence's id, the sizes of its prompt's chunks, and who decodes beside it. */
interface Circumstances {
  readonly name: string;
  readonly seqId: number;
  readonly chunks: readonly number[];
  readonly companions: readonly number[];
  /** Its memory is copied to the host and back after the prompt. */
  readonly isParked?: boolean;
}

type ThreadedRunner = ModelRunner & { readonly setNumThreads: (numThreads: number) => void };

/**
 * Computes a fixed sequence on an otherwise empty memory in several circumstances and compares logprobs to the last
 * bit. The promise of the deterministic mode rests on which kernels the library picks for which shapes, which differ
 * between backends and kinds of weights: so it is put to the test before it is made. Leaves the memory empty.
 * Returns the circumstances that made a difference; null when there are none.
 */
export function findNondeterminism(runner: ThreadedRunner): string | null {
  const last = Math.min(runner.info.maxNumSeqs, 9) - 1;
  const alone: Circumstances = { name: "", seqId: 0, chunks: [NUM_PROMPT_TOKENS], companions: [] };
  const second = Math.min(1, last);
  const expected = compute(runner, alone);
  const others: Circumstances[] = [
    { ...alone, name: "a prompt computed in pieces", chunks: [2, 33, 3, 32] },
    { ...alone, name: "another place in memory", seqId: last },
    { ...alone, name: "a copy from host memory", isParked: true },
    { ...alone, name: "other sequences in the batch", seqId: second, companions: ids(last, second) },
    { ...alone, name: "a gap in the batch", companions: last > 1 ? [last] : [] },
  ];
  const isEqual = (actual: readonly number[]): boolean =>
    actual.every((value, index) => value === expected[index]);
  const cause = others.find((circumstances) => !isEqual(compute(runner, circumstances)));
  if (cause !== undefined) return cause.name;
  runner.setNumThreads(1);
  const isEqualOnOneThread = isEqual(compute(runner, alone));
  runner.setNumThreads(runner.info.numThreads);
  return isEqualOnOneThread ? null : "another number of threads";
}

/** All ids from 0 to `last` but one. */
function ids(last: number, except: number): number[] {
  return Array.from({ length: last + 1 }, (_, id) => id).filter((id) => id !== except);
}

function companionLength(seqId: number): number {
  return 2 + seqId;
}

/** Logprobs of the likeliest tokens at every decoded position. */
function compute(runner: ModelRunner, circumstances: Circumstances): number[] {
  const { seqId, chunks, companions, isParked = false } = circumstances;
  for (const id of companions) prefill(runner, { seqId: id, chunks: [companionLength(id)] });
  prefill(runner, { seqId, chunks });
  if (isParked) park(runner, seqId);
  const logprobs: number[] = [];
  for (let step = 0; step < NUM_DECODED_TOKENS; step += 1) {
    const rows = [
      makeRow(runner, seqId, { start: NUM_PROMPT_TOKENS + step, numTokens: 1, sample: true }),
      ...companions.map((id) =>
        makeRow(runner, id, { start: companionLength(id) + step, numTokens: 1, sample: true }),
      ),
    ].toSorted((left, right) => left.sequence.seqId - right.sequence.seqId);
    const { samples } = runner.execute({ kind: "decode", rows, numTokens: rows.length });
    const sample = samples[rows.findIndex((row) => row.sequence.seqId === seqId)]!;
    logprobs.push(...sample.topLogprobs.map(({ logprob }) => logprob));
  }
  for (const id of [seqId, ...companions]) {
    runner.apply([{ kind: "trim", seqId: id, fromPosition: 0 }]);
  }
  return logprobs;
}

function prefill(
  runner: ModelRunner,
  { seqId, chunks }: { readonly seqId: number; readonly chunks: readonly number[] },
): void {
  let start = 0;
  for (const numTokens of chunks) {
    const row = makeRow(runner, seqId, { start, numTokens, sample: false });
    const batch: Batch = { kind: "prefill", rows: [row], numTokens };
    runner.execute(batch);
    start += numTokens;
  }
}

function park(runner: ModelRunner, seqId: number): void {
  const range = { slot: -1, seqId, fromPosition: 0, toPosition: NUM_PROMPT_TOKENS };
  runner.apply([
    { kind: "save", ...range },
    { kind: "trim", seqId, fromPosition: 0 },
    { kind: "restore", ...range },
    { kind: "discard", slot: -1 },
  ]);
}

function makeRow(
  { info }: ModelRunner,
  seqId: number,
  { start, numTokens, sample }: Pick<BatchRow, "start" | "numTokens" | "sample">,
): BatchRow {
  const length = NUM_PROMPT_TOKENS + NUM_DECODED_TOKENS;
  const tokens = Array.from({ length }, (_, position) => (1 + position * 7919) % info.vocabSize);
  const sequence = {
    requestId: `check-${seqId}`,
    seqId,
    tokens: tokens.slice(0, start + numTokens),
    numPromptTokens: NUM_PROMPT_TOKENS,
    sampling: { ...GREEDY_SAMPLING, topLogprobs: NUM_TOP },
  };
  return { sequence, start, numTokens, logits: sample ? "last" : "none", sample };
}
