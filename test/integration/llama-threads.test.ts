import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { Context, type ContextOptions } from "../../models/llama/context.ts";
import { loadLibrary } from "../../models/llama/library.ts";
import { Model } from "../../models/llama/model.ts";
import { demoModelPath } from "../support/demo-model.ts";

const NUM_THREADS = 3;
const OPTIONS: ContextOptions = {
  layout: "paged",
  numCells: 256,
  numStreams: 1,
  maxNumSeqs: 1,
  maxNumBatchedTokens: 64,
  maxNumOutputs: 1,
  numThreads: NUM_THREADS,
  flashAttention: true,
  cacheTypeK: "f16",
  cacheTypeV: "f16",
};

const threadIds = (): string[] => readdirSync("/proc/self/task");

test(
  "compute threads stay from call to call, whatever their number, and end with the context",
  { skip: process.platform === "linux" ? false : "threads are counted in /proc" },
  () => {
    const library = loadLibrary({ backend: "cpu", logger: () => undefined });
    const model = Model.load(library, { path: demoModelPath(), vocabularyOnly: false, onGpu: false });
    const context = new Context(library, model, OPTIONS);
    const decode = (position: number): number => {
      context.add(5, position, 0, true);
      context.decode();
      const [first] = context.logits();
      context.batch.clear();
      return first!;
    };

    const before = new Set(threadIds());
    const alone = decode(0);
    assert.deepEqual(new Set(threadIds()), before, "a call made or ended threads");
    context.setNumThreads(1);
    context.trim(0, 0);
    assert.equal(decode(0), alone);
    context.setNumThreads(NUM_THREADS);
    decode(1);
    assert.deepEqual(new Set(threadIds()), before);

    context.close();
    model.close();
    assert.equal(threadIds().length, before.size - (NUM_THREADS - 1));
  },
);
