import type { ModelInfo } from "../model-info.ts";
import type { LoadRunnerOptions } from "./load-runner.ts";

/** Lines for the operator about options that ask for more than there is. */
export function describeDoubtfulOptions(
  { numThreads }: Pick<LoadRunnerOptions, "numThreads">,
  info: Pick<ModelInfo, "numThreads">,
): string[] {
  if (numThreads === null || numThreads <= info.numThreads) return [];
  return [
    `--threads ${numThreads}: there are cores for ${info.numThreads}, which is what is used; threads that share a core wait for each other`,
  ];
}
