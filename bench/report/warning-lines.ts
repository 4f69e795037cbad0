import type { BenchConfig } from "../bench-config.ts";
import type { RunSummary } from "../measure/run-summary.ts";

import { runWarnings } from "../measure/result-warnings.ts";

/** The doubts about one of many runs, as lines to print below its numbers. */
export function warningLines(config: BenchConfig, summary: RunSummary): string[] {
  return runWarnings(config, summary).map(
    ({ severity, text }) => `${severity === "hard" ? "WARNING" : "note"}: ${text}`,
  );
}
