import { WORDS } from "../load/words.ts";
import { seededRandom, type Random } from "../seeded-random.ts";

/** Prompts of exact length that share no prefix worth caching: random tokens of common English words. */
export class PromptSource {
  readonly #tokenIds: readonly number[];
  readonly #random: Random;

  constructor(tokenIds: readonly number[], seed: number) {
    this.#tokenIds = tokenIds;
    this.#random = seededRandom(seed);
  }

  next(numTokens: number): number[] {
    return Array.from({ length: numTokens }, () => {
      const index = Math.floor(this.#random() * this.#tokenIds.length);
      return this.#tokenIds[index] as number;
    });
  }
}

interface PromptSourceOptions {
  readonly key?: string;
  readonly seed?: number;
}

/** Asks the server for its tokens of the words; llama-server and Headway answer alike. */
export async function createPromptSource(
  serverUrl: string,
  { key, seed = 1 }: PromptSourceOptions = {},
): Promise<PromptSource> {
  const response = await fetch(new URL("/tokenize", serverUrl), {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
    },
    body: JSON.stringify({ content: WORDS.join(" ") }),
  });
  if (!response.ok) throw new Error(`/tokenize answered ${response.status}: ${await response.text()}`);
  const { tokens } = (await response.json()) as { tokens: number[] };
  return new PromptSource(tokens, seed);
}
