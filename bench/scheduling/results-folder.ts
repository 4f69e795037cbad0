import { packageFile } from "../../src/cli/package-file.ts";

/**
 * Where results go unless a folder is given. Figures of small sizes or of the demo model mean nothing, so they must not
 * take the place of results that are kept. Null stands for the flags of a run of no benchmark.
 */
export function defaultResultsFolder(flags: readonly string[] | null): string {
  return packageFile(`bench/results/${flags === null || isMeasurement(flags) ? "scheduling" : "trial"}`);
}

function isMeasurement(flags: readonly string[]): boolean {
  const hasModel = flags.some((flag) => flag === "--model" || flag.startsWith("--model="));
  return hasModel && !flags.includes("--quick");
}
