import type { ModelInfo } from "../model-info.ts";
import type { LoadRunnerOptions } from "./load-runner.ts";

/** Lines for the operator about options that ask for more than there is. */
export function describeDoubtfulOptions(
  { numThreads, maxModelLen }: Pick<LoadRunnerOptions, "numThreads" | "maxModelLen">,
  info: Pick<ModelInfo, "numThreads" | "trainedContextLength">,
): string[] {
  const notes: string[] = [];
  if (numThreads !== null && numThreads > info.numThreads) {
    notes.push(
      `--threads ${numThreads}: there are cores for ${info.numThreads}, which is what is used; threads that share a core wait for each other`,
    );
  }
  if (maxModelLen !== null && maxModelLen > info.trainedContextLength) {
    notes.push(
      `--max-model-len ${maxModelLen}: the model was trained on ${info.trainedContextLength} tokens, and what it writes beyond may make no sense`,
    );
  }
  return notes;
}
