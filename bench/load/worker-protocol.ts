import type { WorkloadOptions } from "../workloads/workload-options.ts";
import type { LoadOptions, TargetOptions } from "./load-options.ts";
import type { TokenCalibration } from "./prompt-writer.ts";
import type { RequestRecord } from "./request.ts";

/** A worker's part of a run. Every worker rebuilds the whole plan from the seed and takes its share. */
export interface WorkerJob {
  worker: { index: number; count: number };
  target: TargetOptions;
  load: LoadOptions;
  workload: WorkloadOptions;
  calibration: TokenCalibration;
  textSeed: number;
}

/** Running totals for the live view. */
export interface Progress {
  numSent: number;
  numInFlight: number;
  numTokens: number;
}

/** What generating the load cost, and how late the event loop was. */
export interface WorkerUsage {
  cpuMs: number;
  wallMs: number;
  loopDelayP99Ms: number;
}

export type ToWorker = { type: "job"; job: WorkerJob } | { type: "go"; originNs: string } | { type: "abort" };

export type FromWorker =
  | { type: "ready" }
  | { type: "progress"; progress: Progress; records: RequestRecord[] }
  | { type: "done"; usage: WorkerUsage }
  | { type: "failed"; message: string };
