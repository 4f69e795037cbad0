import { TILE_ROWS, type DecodeLoad, type StepTimeModel } from "./step-time-model.ts";

/**
 * Sizes of prefill calls: steps of 16 up to two tiles, whole tiles beyond. Less than a tile only where a target leaves no
 * room for more, in steps fine enough to use what room there is.
 */
const CHUNK_LADDER = [
  8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 192, 256, 320, 384, 448, 512,
] as const;
const MIN_CHUNK = CHUNK_LADDER[0];
const MAX_CHUNK = CHUNK_LADDER[CHUNK_LADDER.length - 1]!;

/** Without a target, decoding streams may slow a prompt's prefill by this factor. */
const MAX_SLOWDOWN = 1.1;

/**
 * Prompts share a call up to this size, and beyond where larger calls are faster for each token by more than a tenth, as
 * on a GPU. Simulated on two cores with bursts of 4 prompts of 128 tokens, 512 gave the first token after 1,045 ms, 256
 * after 526 at 3 % fewer tokens a second, 128 after 267 at 5 % fewer.
 */
const MIN_SHARED_CALL = 256;
const MAX_WASTE = 0.1;
/** Part of a step's time for each token, decode call included, that a call which is short for the sake of others may cost. */
const MAX_NIMBLE_WASTE = 0.25;

/**
 * Nor may the default gap be longer than this part of the time of the largest prefill call, less than a tenth of what a
 * prompt of 1,500 tokens takes at once, unless it is too short to be noticed.
 */
const MAX_DEFAULT_PART = 0.3;
const UNNOTICED_MS = 100;

/** Where chunks are judged, the middle of a long prompt; beyond, they shrink. */
const TYPICAL_DEPTH = 768;

/** Until the first prefill has been seen. */
const UNTRAINED_CHUNK = 64;

/** Part of a call's time that another size must save: learned times that differ by less say nothing. */
const MIN_GAIN = 0.1;

export interface PrefillLoad extends DecodeLoad {
  /** What is left of the prompt (Infinity: where it ends makes no difference), and the tokens before it. */
  readonly numTokens: number;
  readonly depth: number;
  /** The most that fits into a call. */
  readonly maxTokens: number;
  /** Null lets the pace choose. */
  readonly targetItlMs: number | null;
  /** By how much what the pace chooses may grow. */
  readonly stretch: number;
  /** The least that a decoding stream wants its gaps to be; Infinity when none does. */
  readonly wantedItlMs: number;
  /** What copies of KV state take in the same step. */
  readonly copyMs: number;
}

/** How much of the prompts is computed in a step, by what the step-time model has learned. */
export class PrefillPace {
  readonly #stepTimes: StepTimeModel;

  constructor(stepTimes: StepTimeModel) {
    this.#stepTimes = stepTimes;
  }

  /**
   * Tokens to prefill in a step, of this prompt and, if that is more than it has left, of others.
   *
   * Of the sizes that fit the target it is the one that gets most done in the time of a step, decode call included. Where
   * calls of that size would leave an end that is slow for its size, as less than a tile is deep in a prompt on a CPU, the
   * odd part goes first, where looking back is cheap, or together with the rest.
   */
  budget(load: PrefillLoad): number {
    const { numTokens, maxTokens, numDecodeRows } = load;
    if (!this.#stepTimes.hasSeenPrefill)
      return numDecodeRows > 0 ? Math.min(UNTRAINED_CHUNK, maxTokens) : maxTokens;
    const step = new StepCost(this.#stepTimes, load);
    const fits = this.#limitOf(load, step);
    const sizes = numDecodeRows > 0 ? this.#sizesWithin(load, fits) : [maxTokens];
    const usual = leastBy(sizes, (size) => step.levelMs(size) / size);
    if (numTokens <= usual) return usual;
    const odd = oddSizes(numTokens, maxTokens).filter(fits);
    const chosen = leastBy([...sizes, ...odd], (size) => step.lossMs(size, usual));
    const isWorthIt = step.lossMs(chosen, usual) < step.lossMs(usual, usual) - MIN_GAIN * step.ms(usual);
    return isWorthIt ? chosen : usual;
  }

  /** Of so many tokens in calls of the largest size, each at the start of its prompt. */
  fastPrefillMs(numTokens: number): number {
    return (this.#stepTimes.prefillMs(MAX_CHUNK, 0) / MAX_CHUNK) * numTokens;
  }

  /** How many such tokens take that long; infinitely many until something is known. */
  fastPrefillTokens(durationMs: number): number {
    return durationMs === 0 ? 0 : Math.ceil(durationMs / this.fastPrefillMs(1));
  }

  /**
   * With so many tokens a prefill call is about as fast for each of them as with any number: another prompt in it would
   * only delay the first token of the one before, and whoever comes next. Until something is known, the most there are.
   */
  sharedCallLimit(): number {
    return this.#smallestEfficient(MIN_SHARED_CALL, MAX_WASTE, 0);
  }

  /** Tokens of the shortest call with which a step takes little longer for each of them than with the largest. Until something is known, the most there are. */
  nimbleCall(load: DecodeLoad): number {
    const decodeMs = load.numDecodeRows === 0 ? 0 : this.#stepTimes.decodeMs(load);
    return this.#smallestEfficient(TILE_ROWS, MAX_NIMBLE_WASTE, decodeMs);
  }

  /**
   * The target when none is set: where the curve bends. A step pays for its decode call and for the fixed cost of a
   * prefill call whatever the chunk, so small chunks stretch a prompt's prefill, and large ones the gap between tokens.
   * The smallest chunk with which the middle of a long prompt takes at most 1.1 times as long as alone buys most of the
   * smoothness for little delay. A fast GPU gets a larger chunk by the same rule.
   */
  defaultItlMs(load: DecodeLoad): number {
    const decodeMs = this.#stepTimes.decodeMs(load);
    const prefillMs = (chunk: number): number => this.#stepTimes.prefillMs(chunk, TYPICAL_DEPTH);
    const limitMsPerToken = (prefillMs(MAX_CHUNK) / MAX_CHUNK) * MAX_SLOWDOWN;
    const isWorthIt = (chunk: number): boolean => (decodeMs + prefillMs(chunk)) / chunk <= limitMsPerToken;
    const chunk = CHUNK_LADDER.find((size) => size >= TILE_ROWS && isWorthIt(size)) ?? MAX_CHUNK;
    const limitMs = Math.max(UNNOTICED_MS, MAX_DEFAULT_PART * this.#stepTimes.prefillMs(MAX_CHUNK, 0));
    return Math.min(decodeMs + prefillMs(chunk), limitMs);
  }

  #smallestEfficient(minSize: number, maxWaste: number, decodeMs: number): number {
    if (!this.#stepTimes.hasSeenPrefill) return MAX_CHUNK;
    const msPerToken = (size: number): number => (decodeMs + this.#stepTimes.prefillMs(size, 0)) / size;
    const limitMs = msPerToken(MAX_CHUNK) * (1 + maxWaste);
    return CHUNK_LADDER.find((size) => size >= minSize && msPerToken(size) <= limitMs) ?? MAX_CHUNK;
  }

  #limitOf(load: PrefillLoad, step: StepCost): (size: number) => boolean {
    if (load.numDecodeRows === 0) return () => true;
    const limitMs = load.targetItlMs ?? load.stretch * this.defaultItlMs(load);
    const wantedMs = Math.min(limitMs, load.wantedItlMs);
    // What one stream wants must not hold the prompts of all others up for long.
    return (size) => load.copyMs + step.ms(size) <= (size <= TILE_ROWS ? limitMs : wantedMs);
  }

  /** Rungs of the ladder, and multiples of the highest where time allows; the smallest where nothing fits. */
  #sizesWithin({ targetItlMs, maxTokens }: PrefillLoad, fits: (size: number) => boolean): number[] {
    const smallest = Math.min(targetItlMs === null ? TILE_ROWS : MIN_CHUNK, maxTokens);
    const sizes: number[] = CHUNK_LADDER.filter(
      (size) => size >= smallest && size <= maxTokens && fits(size),
    );
    for (let size = 2 * MAX_CHUNK; size <= maxTokens && fits(size); size *= 2) sizes.push(size);
    return sizes.length === 0 ? [smallest] : sizes;
  }
}

/** What steps with this load take. */
class StepCost {
  readonly #stepTimes: StepTimeModel;
  readonly #decodeMs: number;
  readonly #numTokens: number;
  readonly #depth: number;

  constructor(stepTimes: StepTimeModel, load: PrefillLoad) {
    this.#stepTimes = stepTimes;
    this.#decodeMs = load.numDecodeRows === 0 ? 0 : stepTimes.decodeMs(load);
    this.#numTokens = load.numTokens;
    this.#depth = load.depth;
  }

  /** A step with a prefill call of this size. */
  ms(size: number): number {
    return this.#decodeMs + this.#stepTimes.prefillMs(size, this.#depth);
  }

  /** The same if all its tokens looked back equally far: what later ones look at is no fault of a large call. */
  levelMs(size: number, depth: number = this.#depth): number {
    return this.#decodeMs + this.#stepTimes.prefillMs(size, depth - size / 2);
  }

  /** Time that is lost with a call of this size now and the usual one from then on, against an even run of the usual one. */
  lossMs(size: number, usual: number): number {
    const end = (this.#numTokens - size) % usual;
    const endDepth = this.#depth + this.#numTokens - end;
    const lossAt = (part: number, depth: number): number =>
      part === 0 ? 0 : this.levelMs(part, depth) - (part / usual) * this.levelMs(usual, depth);
    return lossAt(size, this.#depth) + lossAt(end, endDepth);
  }
}

/** All that is left, and what is left of it when whole tiles are taken away. */
function oddSizes(numTokens: number, maxTokens: number): number[] {
  const sizes: number[] = [];
  for (let size = numTokens % TILE_ROWS; size <= maxTokens && size <= numTokens; size += TILE_ROWS) {
    if (size >= MIN_CHUNK && size <= 2 * MAX_CHUNK) sizes.push(size);
  }
  return sizes;
}

function leastBy(sizes: readonly number[], cost: (size: number) => number): number {
  let best = sizes[0]!;
  let bestCost = cost(best);
  for (const size of sizes) {
    const each = cost(size);
    if (each < bestCost) [best, bestCost] = [size, each];
  }
  return best;
}
