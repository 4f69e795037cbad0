import type { LoadOptions, TargetOptions } from "./load/load-options.ts";
import type { Slo } from "./measure/slo.ts";
import type { WorkloadOptions } from "./workloads/workload-options.ts";

/** A benchmark as asked for: everything needed to run it again. */
export interface BenchConfig {
  target: TargetOptions;
  load: LoadOptions;
  workload: WorkloadOptions;
  slo: Slo | null;
  warmupMs: number;
  cooldownMs: number;
  /** Runs with seeds seed, seed + 1, …; intervals then come from the differences between runs. */
  numRuns: number;
  numWorkers: number;
  /** Chooses the prompts' words; see PromptWriter. */
  textSeed: number;
  /** A client whose lag's p99 is above this has not kept its schedule. */
  maxLagMs: number;
  calibrate: boolean;
}
