import { NUM_STEPS, STEPS_PER_NAT, exp2Steps } from "./exp2-table.ts";
import { argmax } from "./top-tokens.ts";

/** The bucket of everything too unlikely to be drawn. */
const DISCARD = NUM_STEPS;

/**
 * The distribution softmax(logits / temperature), grouped into buckets of nearly equal probability (2.2 % wide), most
 * likely bucket first. It answers min-p, top-p and a draw exactly while looking at single tokens of two buckets only:
 * no sort of the vocabulary, and no worst case where a flat distribution makes one necessary.
 */
export class MassTable {
  readonly #buckets: Uint16Array;
  readonly #masses = new Float64Array(NUM_STEPS + 1);
  #logits: Float32Array = new Float32Array(0);
  #max = 0;
  #stepsPerLogit = 0;
  /** Every token of a bucket below this is kept. */
  #numFullBuckets = NUM_STEPS;
  /** Kept tokens of bucket #numFullBuckets, most likely first. */
  #edgeTokens: readonly number[] = [];
  #keptMass = 0;

  constructor(vocabSize: number) {
    this.#buckets = new Uint16Array(vocabSize);
  }

  /** Reads the logits; they must stay as they are until the draw. False when the largest is no finite number. */
  build(logits: Float32Array, temperature: number): boolean {
    const max = logits[argmax(logits)]!;
    if (!Number.isFinite(max)) return false;
    const scale = STEPS_PER_NAT / temperature;
    const masses = this.#masses.fill(0);
    const buckets = this.#buckets;
    let total = 0;
    for (let token = 0; token < logits.length; token += 1) {
      const steps = (max - logits[token]!) * scale;
      // NaN fails the test too and is discarded like -Infinity.
      if (steps < NUM_STEPS) {
        const mass = exp2Steps(steps);
        const bucket = steps | 0;
        buckets[token] = bucket;
        masses[bucket]! += mass;
        total += mass;
      } else {
        buckets[token] = DISCARD;
      }
    }
    this.#logits = logits;
    this.#max = max;
    this.#stepsPerLogit = scale;
    this.#numFullBuckets = NUM_STEPS;
    this.#edgeTokens = [];
    this.#keptMass = total;
    return true;
  }

  /** Keeps tokens at least `minP` times as likely as the best. Only as the first cut. */
  cutMinP(minP: number): void {
    const maxSteps = -Math.log(minP) * STEPS_PER_NAT;
    if (maxSteps >= NUM_STEPS) return;
    const edge = Math.floor(maxSteps);
    this.#setEdge(
      edge,
      this.#tokensOf(edge).filter((token) => this.#stepsOf(token) <= maxSteps),
    );
  }

  /** Keeps the smallest set of most likely tokens whose mass reaches `topP` of what is kept so far. */
  cutTopP(topP: number): void {
    const target = topP * this.#keptMass;
    let mass = 0;
    let bucket = 0;
    while (bucket < this.#numFullBuckets && mass + this.#masses[bucket]! < target) {
      mass += this.#masses[bucket]!;
      bucket += 1;
    }
    const tokens = bucket < this.#numFullBuckets ? this.#tokensOf(bucket) : this.#edgeTokens;
    const numKept = tokens.findIndex((token) => (mass += this.#massOf(token)) >= target) + 1;
    // Rounding may leave the target a hair above the sum: then everything is kept.
    this.#setEdge(bucket, numKept === 0 ? tokens : tokens.slice(0, numKept));
  }

  /** The token where the cumulated mass passes `uniform`, a number in [0, 1). */
  draw(uniform: number): number {
    let rest = uniform * this.#keptMass;
    let bucket = 0;
    let lastFilled = 0;
    for (; bucket < this.#numFullBuckets; bucket += 1) {
      const mass = this.#masses[bucket]!;
      if (mass === 0) continue;
      if (rest < mass) return this.#drawFrom(this.#tokensOf(bucket), rest);
      rest -= mass;
      lastFilled = bucket;
    }
    const tokens = this.#edgeTokens.length > 0 ? this.#edgeTokens : this.#tokensOf(lastFilled);
    return this.#drawFrom(tokens, rest);
  }

  /** Probabilities of all kept tokens, for tests and explanations. */
  probabilities(): Map<number, number> {
    const kept = new Map<number, number>();
    for (let bucket = 0; bucket < this.#numFullBuckets; bucket += 1) {
      if (this.#masses[bucket] === 0) continue;
      for (const token of this.#tokensOf(bucket)) kept.set(token, this.#massOf(token) / this.#keptMass);
    }
    for (const token of this.#edgeTokens) kept.set(token, this.#massOf(token) / this.#keptMass);
    return kept;
  }

  #drawFrom(tokens: readonly number[], mass: number): number {
    let rest = mass;
    for (const token of tokens) {
      rest -= this.#massOf(token);
      if (rest < 0) return token;
    }
    return tokens.at(-1)!;
  }

  #setEdge(bucket: number, tokens: readonly number[]): void {
    this.#numFullBuckets = bucket;
    this.#edgeTokens = tokens;
    let mass = 0;
    for (let full = 0; full < bucket; full += 1) mass += this.#masses[full]!;
    for (const token of tokens) mass += this.#massOf(token);
    this.#keptMass = mass;
  }

  /** Most likely first, lower id first on a tie. */
  #tokensOf(bucket: number): number[] {
    const logits = this.#logits;
    const tokens: number[] = [];
    for (
      let token = this.#buckets.indexOf(bucket);
      token !== -1;
      token = this.#buckets.indexOf(bucket, token + 1)
    ) {
      tokens.push(token);
    }
    return tokens.sort((a, b) => logits[b]! - logits[a]! || a - b);
  }

  #stepsOf(token: number): number {
    return (this.#max - this.#logits[token]!) * this.#stepsPerLogit;
  }

  #massOf(token: number): number {
    return exp2Steps(this.#stepsOf(token));
  }
}
