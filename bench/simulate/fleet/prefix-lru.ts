import type { TokenSegment } from "../sim-request.ts";

/** Identity of a segment after everything before it. */
export type PathKey = number;

/** Keys of a prompt's segments. Doubles hold 53 bits: two of a million paths meet with a chance of 1 in 10,000. */
export function pathKeys(segments: readonly TokenSegment[]): PathKey[] {
  let key = 0;
  return segments.map(({ id, numTokens }) => (key = mix(key, id * 131_072 + numTokens)));
}

/** Which prompts a replica remembers, in whole segments: least recently used goes first, deepest first within one prompt. */
export class PrefixLru {
  readonly #segments = new Map<PathKey, number>();
  #numTokens = 0;

  get numTokens(): number {
    return this.#numTokens;
  }

  /** Leading tokens of the prompt that are remembered. */
  numCachedTokens(keys: readonly PathKey[]): number {
    let numTokens = 0;
    for (const key of keys) {
      const segment = this.#segments.get(key);
      if (segment === undefined) break;
      numTokens += segment;
    }
    return numTokens;
  }

  insert(keys: readonly PathKey[], segments: readonly TokenSegment[], maxTokens: number): void {
    for (let index = keys.length - 1; index >= 0; index -= 1) {
      const key = keys[index]!;
      const { numTokens } = segments[index]!;
      if (!this.#segments.delete(key)) this.#numTokens += numTokens;
      this.#segments.set(key, numTokens);
    }
    for (const [key, numTokens] of this.#segments) {
      if (this.#numTokens <= maxTokens) return;
      this.#segments.delete(key);
      this.#numTokens -= numTokens;
    }
  }
}

/** Two 32-bit mixes (the finalizer of MurmurHash3) joined to 53 bits. */
export function mix(seed: number, value: number): number {
  const low = mix32((seed >>> 0) ^ mix32(value >>> 0));
  const high = mix32(low ^ mix32(Math.floor(value / 2 ** 32) ^ Math.floor(seed / 2 ** 32)) ^ 0x9e3779b9);
  return (high & 0x1fffff) * 2 ** 32 + low;
}

function mix32(value: number): number {
  let bits = value ^ (value >>> 16);
  bits = Math.imul(bits, 0x85ebca6b);
  bits ^= bits >>> 13;
  bits = Math.imul(bits, 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
