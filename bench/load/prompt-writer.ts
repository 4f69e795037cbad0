import { LRUCache } from "lru-cache";

import type { PromptSegment } from "./request.ts";

import { deriveSeed, seededRandom } from "../seeded-random.ts";
import { WORDS } from "./words.ts";

/** How words become the server's tokens; measured by the calibration. */
export interface TokenCalibration {
  tokensPerWord: number;
  /** Tokens the server adds to every prompt: chat template, begin-of-text. */
  overheadTokens: number;
  /** False when the server reports no usage and one token a word is only assumed. */
  isMeasured: boolean;
}

export const UNCALIBRATED: TokenCalibration = { tokensPerWord: 1, overheadTokens: 0, isMeasured: false };

const MAX_CACHED_CHARS = 64 * 2 ** 20;

/**
 * Writes prompts of a wanted token length from seeded words. Equal seeds give equal text from their
 * first word on, so prompts that begin with the same segments share a prefix token by token.
 */
export class PromptWriter {
  readonly #calibration: TokenCalibration;
  readonly #textSeed: number;
  readonly #cache = new LRUCache<string, string>({
    maxSize: MAX_CACHED_CHARS,
    sizeCalculation: (text) => text.length,
  });

  /**
   * A segment's seed says which text is shared; `textSeed` chooses the words. Another text seed gives
   * the same lengths and sharing in other words, so that a second run finds no prefix of the first in
   * the server's cache.
   */
  constructor(calibration: TokenCalibration, textSeed: number) {
    this.#calibration = calibration;
    this.#textSeed = textSeed;
  }

  write(segments: readonly PromptSegment[]): string {
    const last = segments.length - 1;
    return segments
      .map((segment, position) =>
        "text" in segment ? segment.text : this.#words(segment, position === last),
      )
      .join(" ");
  }

  /** The template's overhead is taken off the last segment: shortening an earlier one would break sharing. */
  #words({ seed, numTokens }: { seed: number; numTokens: number }, isLast: boolean): string {
    const { tokensPerWord, overheadTokens } = this.#calibration;
    const numWords = Math.max(1, Math.round((numTokens - (isLast ? overheadTokens : 0)) / tokensPerWord));
    const cacheKey = `${seed} ${numWords}`;
    const known = this.#cache.get(cacheKey);
    if (known !== undefined) return known;
    const text = seededWords(deriveSeed(this.#textSeed, `segment ${seed}`), numWords);
    this.#cache.set(cacheKey, text);
    return text;
  }
}

/** `numWords` common words, one space between them. */
export function seededWords(seed: number, numWords: number): string {
  const random = seededRandom(seed);
  const words: string[] = [];
  for (let i = 0; i < numWords; i++) words.push(WORDS[Math.floor(random() * WORDS.length)] as string);
  return words.join(" ");
}
