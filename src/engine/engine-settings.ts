import type { LoadRunnerOptions } from "../../models/llama/load-runner.ts";
import type { DiskSettings } from "./attach-disk-tier.ts";
import type { CacheSettings } from "./kv-cache-options.ts";

/** All that an engine process is told at start; crosses the process boundary as JSON. */
export interface EngineSettings extends CacheSettings {
  /** Where pinned prefixes survive a restart. */
  readonly disk: DiskSettings;
  readonly runner: Omit<LoadRunnerOptions, "logger" | "onProgress">;
  /** Gap between tokens that prefill must not exceed; null lets the step-time model choose. */
  readonly targetItlMs: number | null;
  /** Folder for what was learned about step times; null keeps nothing. */
  readonly stepTimesDir: string | null;
}
