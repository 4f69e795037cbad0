import type { ModelInfo } from "../../models/model-info.ts";

/** How many of a prompt's tokens have to be computed. */
export interface PromptSize {
  /** For its first choice. */
  readonly first: number;
  /** For each other choice: what is left after the whole blocks that it shares with the first. */
  readonly further: number;
}

/** Prompts that begin alike share whole blocks of so many tokens; 0 where a model's memory allows no sharing. */
export function sharedBlockSize(model: ModelInfo | null): number {
  return model?.capabilities.canShare === true ? model.kvPool.blockSize : 0;
}

/** Of a prompt whose first `numCachedTokens` tokens need not be computed. */
export function promptSize(numTokens: number, numCachedTokens: number, blockSize: number): PromptSize {
  return {
    first: numTokens - numCachedTokens,
    further: numTokens - numShareableBlocks(numTokens, blockSize) * blockSize,
  };
}

/** At least its last token is computed for every choice. */
export function numShareableBlocks(numTokens: number, blockSize: number): number {
  return blockSize === 0 ? 0 : Math.floor(Math.max(0, numTokens - 1) / blockSize);
}

/** With n choices for each prompt. */
export function numTokensToCompute(sizes: readonly PromptSize[], numChoices: number): number {
  let numTokens = 0;
  for (const { first, further } of sizes) numTokens += first + (numChoices - 1) * further;
  return numTokens;
}
