import { hashBlock } from "../../kvcache/hash-block.ts";
import type { GenerationRequest } from "./generation.ts";
import { numShareableBlocks, promptSize, type PromptSize } from "./prompt-size.ts";

export interface SharingLimits {
  /** 0 where nothing is shared. */
  readonly blockSize: number;
  /** Blocks that the caches hold. */
  readonly maxBlocks: number;
}

/** A million tokens in blocks of 16, for some megabytes. */
const MAX_BLOCKS = 65_536;

type Prompts = Pick<GenerationRequest, "prompts" | "cacheSalt" | "sampling">;

/**
 * Which prompts came lately, and so how much of the next one is likely to be cached: hashes of their blocks, each
 * chained to those before it. The cache itself is the engine's and may have given them up: good enough to predict
 * times with, and for nothing else.
 */
export class RecentPrefixes {
  readonly #limits: () => SharingLimits;
  /** What came last, and what came before that: the older half is forgotten at once when the newer one is full. */
  #newer = new Set<number>();
  #older = new Set<number>();

  constructor(limits: () => SharingLimits) {
    this.#limits = limits;
  }

  /** Of each prompt of a request, which may share with those before it too. */
  sizesOf({ prompts, cacheSalt, sampling }: Prompts): PromptSize[] {
    const { blockSize } = this.#limits();
    const ofRequest = new Set<number>();
    return prompts.map(({ tokenIds }) => {
      const keys = chainedHashes(tokenIds, cacheSalt, blockSize);
      const firstUnknown = keys.findIndex((key) => !this.#has(key) && !ofRequest.has(key));
      const numKnown = firstUnknown === -1 ? keys.length : firstUnknown;
      for (const key of keys.slice(numKnown)) ofRequest.add(key);
      // All of a prompt is computed to score it.
      const numCachedTokens = sampling.promptLogprobs === null ? numKnown * blockSize : 0;
      return promptSize(tokenIds.length, numCachedTokens, blockSize);
    });
  }

  /** These tokens are computed, or will be. */
  note(tokenIds: readonly number[], cacheSalt: string): void {
    const { blockSize, maxBlocks } = this.#limits();
    const maxOfHalf = Math.min(maxBlocks, MAX_BLOCKS) / 2;
    if (maxOfHalf === 0) return;
    for (const key of chainedHashes(tokenIds, cacheSalt, blockSize)) {
      if (this.#newer.size >= maxOfHalf) this.#forgetOlder();
      this.#newer.add(key);
    }
  }

  /** The caches are empty. */
  clear(): void {
    this.#newer.clear();
    this.#older.clear();
  }

  #has(key: number): boolean {
    return this.#newer.has(key) || this.#older.has(key);
  }

  #forgetOlder(): void {
    this.#older = this.#newer;
    this.#newer = new Set();
  }
}

function chainedHashes(tokenIds: readonly number[], cacheSalt: string, blockSize: number): number[] {
  const saltCodes = Array.from(cacheSalt, (character) => character.codePointAt(0)!);
  let hash = hashBlock(saltCodes, 0, saltCodes.length);
  return Array.from({ length: numShareableBlocks(tokenIds.length, blockSize) }, (_, index) => {
    const ofBlock = hashBlock(tokenIds, index * blockSize, (index + 1) * blockSize);
    hash = hashBlock([hash, ofBlock], 0, 2);
    return hash;
  });
}
