import type { BenchConfig } from "./bench-config.ts";
import type { RequestRecord } from "./load/request.ts";
import type { Progress } from "./load/worker-protocol.ts";
import type { RunData } from "./measure/run-summary.ts";

import { deriveSeed } from "./seeded-random.ts";
import { UNCALIBRATED, type TokenCalibration } from "./load/prompt-writer.ts";
import { calibrate } from "./load/calibrate.ts";
import { runLoad } from "./load/worker-pool.ts";

export interface BenchObserver {
  onRunStart(runIndex: number, config: BenchConfig): void;
  onRecords(records: readonly RequestRecord[]): void;
  onProgress(progress: Progress): void;
  onRunEnd(runIndex: number): void;
}

export interface BenchData {
  runs: RunData[];
  calibration: TokenCalibration;
  /** The user stopped it: what was measured until then. */
  interrupted: boolean;
}

/** Runs all repetitions one after another. */
export async function runBenchmark(
  config: BenchConfig,
  observer: BenchObserver,
  signal?: AbortSignal,
): Promise<BenchData> {
  const calibration = await calibrationOf(config);
  const runs: RunData[] = [];
  for (let runIndex = 0; runIndex < config.numRuns; runIndex++) {
    if (signal?.aborted === true) break;
    runs.push(await runOnce(config, { runIndex, calibration, observer, ...optional({ signal }) }));
  }
  return { runs, calibration, interrupted: signal?.aborted === true };
}

export async function calibrationOf(config: BenchConfig): Promise<TokenCalibration> {
  if (!config.calibrate) return UNCALIBRATED;
  return calibrate(config.target);
}

export interface OneRun {
  runIndex: number;
  calibration: TokenCalibration;
  observer: BenchObserver;
  signal?: AbortSignal;
}

/** One run: seeds of load and workload move on by `runIndex`, and so do the prompts' words. */
export async function runOnce(
  config: BenchConfig,
  { runIndex, calibration, observer, signal }: OneRun,
): Promise<RunData> {
  const records: RequestRecord[] = [];
  observer.onRunStart(runIndex, config);
  const job = {
    target: config.target,
    load: { ...config.load, seed: config.load.seed + runIndex },
    workload: { ...config.workload, seed: config.workload.seed + runIndex },
    calibration,
    textSeed: deriveSeed(config.textSeed, `run ${runIndex}`),
  };
  const collect = {
    onProgress: (progress: Progress) => observer.onProgress(progress),
    onRecords: (arrived: readonly RequestRecord[]) => {
      for (const record of arrived) records.push(record);
      observer.onRecords(arrived);
    },
  };
  try {
    const usage = await runLoad(job, {
      numWorkers: config.numWorkers,
      observer: collect,
      ...optional({ signal }),
    });
    return { records: inOrder(records), usage };
  } catch (error) {
    if (signal?.aborted !== true) throw error;
    return { records: inOrder(records), usage: [] };
  } finally {
    observer.onRunEnd(runIndex);
  }
}

/** A property that is left out when undefined, as optional properties must be. */
function optional(part: { signal: AbortSignal | undefined }): { signal?: AbortSignal } {
  return part.signal === undefined ? {} : { signal: part.signal };
}

function inOrder(records: RequestRecord[]): RequestRecord[] {
  return records.sort((a, b) => a.index - b.index);
}
