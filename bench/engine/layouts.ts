/**
 * Time of a decode step in both KV layouts, by rows, length and the part of each sequence that all have in common.
 * Run: npm run bench:layouts -- --model FILE [--threads N] [--json FILE]
 *
 * Method: the sequences are computed once and copied, so that filling the memory takes seconds; in the paged layout the
 * common part is shared and the rest are cells of its own for each sequence, in streams everything is. Then some decode
 * calls on all rows, in turns between the layouts; the median of all counts. No server, no sampling.
 */
import { Context } from "../../models/llama/context.ts";
import { loadLibrary } from "../../models/llama/library.ts";
import { Model } from "../../models/llama/model.ts";
import type { KvLayout } from "../../scheduler/contracts.ts";
import { distributionOf } from "../measure/distribution.ts";
import { runScenario, type Row, type ScenarioSettings } from "../scheduling/scenario.ts";

const ROWS = [4, 16, 32];
const LENGTHS = [128, 512];
const SHARED_PARTS = [0, 0.5, 0.9];
const NUM_CALLS = 8;
/** The library's grain of a slice; block size, where sharing ends. */
const SLICE_GRAIN = 256;
const BLOCK_SIZE = 16;
const MAX_CALL_TOKENS = 512;

interface Case {
  readonly numRows: number;
  readonly length: number;
  readonly sharedPart: number;
}

/** The library, the model, and one context at a time. */
class Bench {
  readonly #library = loadLibrary({ backend: "cpu", logger: () => {} });
  readonly #model: Model;
  readonly #numThreads: number;

  constructor({ modelPath, numThreads }: ScenarioSettings) {
    this.#model = Model.load(this.#library, { path: modelPath, vocabularyOnly: false, onGpu: false });
    this.#numThreads = numThreads;
  }

  close(): void {
    this.#model.close();
  }

  /** Milliseconds of each decode call. */
  run(layout: KvLayout, it: Case): number[] {
    const slice = Math.ceil((it.length + NUM_CALLS) / SLICE_GRAIN) * SLICE_GRAIN;
    const context = new Context(this.#library, this.#model, {
      layout,
      numCells: slice * (it.numRows + 1),
      numStreams: it.numRows + 1,
      maxNumSeqs: it.numRows + 1,
      maxNumBatchedTokens: MAX_CALL_TOKENS,
      maxNumOutputs: 64,
      numThreads: this.#numThreads,
      flashAttention: true,
      cacheTypeK: "f16",
      cacheTypeV: "f16",
    });
    try {
      fill(context, it);
      return decode(context, it);
    } finally {
      context.close();
    }
  }
}

function fill(context: Context, { numRows, length, sharedPart }: Case): void {
  for (let position = 0; position < length; position += 1) {
    context.add(position, position, 0, false);
    if (context.batch.numTokens === MAX_CALL_TOKENS || position === length - 1) compute(context);
  }
  const numShared = Math.floor((sharedPart * length) / BLOCK_SIZE) * BLOCK_SIZE;
  const copy = context.kv.save({ seqId: 0, fromPosition: numShared, toPosition: length });
  for (let seqId = 1; seqId < numRows; seqId += 1) {
    if (numShared > 0) context.kv.share(0, seqId, numShared);
    context.kv.restore(copy, { seqId, fromPosition: numShared, toPosition: length });
  }
  copy.free();
}

function decode(context: Context, { numRows, length }: Case): number[] {
  return Array.from({ length: NUM_CALLS }, (_, call) => {
    for (let seqId = 0; seqId < numRows; seqId += 1) context.add(seqId, length + call, seqId, true);
    const startMs = performance.now();
    compute(context);
    return performance.now() - startMs;
  });
}

function compute(context: Context): void {
  context.decode();
  if (context.batch.numOutputs > 0) context.logits();
  context.batch.clear();
}

function measure(bench: Bench, it: Case, numRounds: number): Row {
  const times = { paged: [] as number[], streams: [] as number[] };
  for (let round = 0; round < numRounds; round += 1) {
    for (const layout of ["paged", "streams"] as const) times[layout].push(...bench.run(layout, it));
  }
  const pagedMs = distributionOf(times.paged).percentile(50);
  const streamsMs = distributionOf(times.streams).percentile(50);
  const numOwnTokens = it.length * (1 - it.sharedPart);
  return {
    rows: it.numRows,
    tokens: it.length,
    "shared %": it.sharedPart * 100,
    "paged ms": pagedMs,
    "streams ms": streamsMs,
    "paged / streams": pagedMs / streamsMs,
    "cells paged": Math.round(it.length * it.sharedPart + it.numRows * numOwnTokens),
    "cells streams": it.numRows * it.length,
  };
}

await runScenario({
  name: "layouts",
  purpose: "Time of a decode step by rows, length and common part, in the paged layout and in streams",
  numRounds: 1,
  run: async (settings) => {
    const bench = new Bench(settings);
    const [rows, lengths] = settings.isQuick ? [[4], [128]] : [ROWS, LENGTHS];
    const cases = rows.flatMap((numRows) =>
      lengths.flatMap((length) => SHARED_PARTS.map((sharedPart) => ({ numRows, length, sharedPart }))),
    );
    const table = cases.map((it) => measure(bench, it, settings.numRounds));
    bench.close();
    return { rows: table, goals: [] };
  },
});
