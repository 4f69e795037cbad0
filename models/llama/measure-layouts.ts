import type { KvLayout } from "../../scheduler/contracts.ts";
import type { LayoutCosts } from "../layout-choice.ts";
import { Context, type ContextOptions } from "./context.ts";
import type { LlamaLibrary } from "./library.ts";
import type { Model } from "./model.ts";

/** The library's grain of a slice. */
const SLICE_TOKENS = 256;
const NUM_CALLS = 4;
const MAX_ROWS = 16;
/** Sequences are this long where the machine computes a short piece fast enough. */
const LONG_TOKENS = SLICE_TOKENS - 2 * NUM_CALLS;
const SHORT_TOKENS = 56;
const MAX_SHORT_MS = 300;

/** Decodes a few steps in small contexts of either layout, which are gone afterwards. A second or two. */
export function measureLayouts(library: LlamaLibrary, model: Model, options: ContextOptions): LayoutCosts {
  const numRows = Math.min(options.maxNumSeqs, MAX_ROWS);
  const measure = (layout: KvLayout): ReturnType<typeof measureLayout> => {
    const numCells = SLICE_TOKENS * numRows;
    const probe = { ...options, layout, numCells, numStreams: numRows, maxNumSeqs: numRows };
    const context = new Context(library, model, probe);
    try {
      return measureLayout(context, numRows);
    } finally {
      context.close();
    }
  };
  const streams = measure("streams");
  const paged = measure("paged");
  return {
    numRows,
    numTokens: paged.numTokens,
    pagedMs: paged.filledMs,
    emptyPagedMs: paged.emptyMs,
    streamsMs: streams.filledMs,
  };
}

function measureLayout(context: Context, numRows: number) {
  const emptyMs = decode(context, numRows, 0);
  context.clear();
  const numTokens = fill(context, numRows);
  return { emptyMs, numTokens, filledMs: decode(context, numRows, numTokens) };
}

/** The same tokens for all, but cells of its own for each. */
function fill(context: Context, numRows: number): number {
  const startMs = performance.now();
  prefill(context, 0, SHORT_TOKENS);
  const isFast = performance.now() - startMs < MAX_SHORT_MS;
  const numTokens = isFast ? LONG_TOKENS : SHORT_TOKENS;
  if (isFast) prefill(context, SHORT_TOKENS, LONG_TOKENS);
  const copy = context.kv.save({ seqId: 0, fromPosition: 0, toPosition: numTokens });
  for (let seqId = 1; seqId < numRows; seqId += 1) {
    context.kv.restore(copy, { seqId, fromPosition: 0, toPosition: numTokens });
  }
  copy.free();
  return numTokens;
}

function prefill(context: Context, from: number, to: number): void {
  for (let position = from; position < to; position += 1) context.add(position, position, 0, false);
  compute(context);
}

/** Whatever disturbs a call only makes it longer. */
function decode(context: Context, numRows: number, start: number): number {
  let shortestMs = Infinity;
  for (let position = start; position < start + NUM_CALLS; position += 1) {
    for (let seqId = 0; seqId < numRows; seqId += 1) context.add(seqId, position, seqId, true);
    const startMs = performance.now();
    compute(context);
    shortestMs = Math.min(shortestMs, performance.now() - startMs);
  }
  return shortestMs;
}

function compute(context: Context): void {
  context.decode();
  if (context.batch.numOutputs > 0) context.logits();
  context.batch.clear();
}
