import { writeSync } from "node:fs";
import { KvCacheManager } from "../../kvcache/kv-cache-manager.ts";
import { createFakeModelInfo, FakeModelRunner } from "../../models/fake-model-runner.ts";
import type { Batch } from "../../scheduler/contracts.ts";
import { Scheduler } from "../../scheduler/scheduler.ts";
import { ModelRefusedError, runEngineProcess, type LoadedEngine } from "../../src/engine/engine-process.ts";
import { circumstances, type StartMeasurements, stillValid } from "../../src/engine/start-measurements.ts";

/** Prompts that contain this token make the process die as native code does. */
export const POISON_TOKEN = 13;

/** Behaviour of a fake engine process, for tests of what the server does when engines misbehave. */
export interface FakeEngineSettings {
  readonly stepMs: number;
  readonly numBlocks: number;
  /** Refuse the model with this sentence. */
  readonly refusal?: string;
  /** Loads for as long as it lives, deaf to everything, as native code is while it reads a large file. */
  readonly neverLoads?: boolean;
  /** Prints this line while it loads, and aborts. */
  readonly lastWords?: string;
}

function createEngine(settings: FakeEngineSettings): LoadedEngine {
  const { stepMs, numBlocks, refusal, neverLoads, lastWords } = settings;
  if (lastWords !== undefined) {
    writeSync(2, `${lastWords}\n`);
    process.abort();
  }
  if (neverLoads === true) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  if (refusal !== undefined) throw new ModelRefusedError(refusal);
  const { kvPool, ...defaults } = createFakeModelInfo();
  const info = { ...defaults, kvPool: { ...kvPool, numBlocks } };
  const runner = new FakeModelRunner({
    info,
    meanTokensToEog: Infinity,
    onExecute: (batch) => {
      if (isPoisoned(batch)) process.kill(process.pid, "SIGSEGV");
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, stepMs);
    },
  });
  const { blockSize } = info.kvPool;
  const kvCache = new KvCacheManager({
    numBlocks,
    blockSize,
    numSeqIds: 256,
    maxCachedBlocks: 0,
    canShare: true,
    canTrim: true,
  });
  const { maxNumSeqs, maxNumBatchedTokens, maxModelLen, eogTokenIds } = info;
  const scheduler = new Scheduler(
    { maxNumSeqs, maxNumBatchedTokens, maxModelLen, eogTokenIds, targetItlMs: null },
    kvCache,
  );
  const measured: StartMeasurements = {
    on: circumstances(info),
    layoutCosts: null,
    copyCost: { computeMs: 2, copyMs: 1 },
    rowMultiple: null,
    stepTimes: scheduler.stepTimes.snapshot(),
  };
  const known = stillValid(JSON.parse(process.argv[3] ?? "null") as StartMeasurements | null, info);
  const notes = known === null ? [] : [`known: a copy takes ${known.copyCost?.copyMs} ms`];
  return { runner, scheduler, notes, measured };
}

function isPoisoned(batch: Batch): boolean {
  return batch.rows.some((row) => row.sequence.tokens[0] === POISON_TOKEN);
}

if (process.send !== undefined) {
  const settings = JSON.parse(process.argv[2] ?? "{}") as FakeEngineSettings;
  await runEngineProcess(async () => createEngine(settings));
}
