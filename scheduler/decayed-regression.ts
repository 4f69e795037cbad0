/** An observation counts as at most this many times what was expected: one hiccup must not move the line. */
const MAX_SURPRISE = 3;
/**
 * Disturbances make times longer, never shorter. After so many observations in a row that are below that part of what
 * was expected, all that was learned is scaled down: small calls alone would hardly move a line through large ones.
 */
const NUM_FAR_BELOW = 3;
/** What the past then weighs, in parts of what it did. */
const SCALED_WEIGHT = 0.1;

/** Expectations count only after this many observations. */
const NUM_WARM_UP = 5;

/** Gauss-Seidel sweeps per solution; each starts from the last solution, so few suffice. */
const NUM_SWEEPS = 16;

/** A regression as JSON. */
export interface RegressionSnapshot {
  readonly numObservations: number;
  readonly moments: readonly (readonly number[])[];
  readonly targets: readonly number[];
  /** Where the next solution starts from. */
  readonly coefficients: readonly number[];
}

/**
 * Online least squares of times with non-negative coefficients and exponential forgetting.
 * Solves the normal equations by projected coordinate descent in the order of the features:
 * what the observations cannot tell apart is credited to the earlier feature.
 */
export class DecayedRegression {
  readonly #decay: number;
  /** X'X, weighted. */
  readonly #moments: Float64Array[];
  /** X'y, weighted. */
  readonly #targets: Float64Array;
  readonly #coefficients: Float64Array;
  readonly #canScale: boolean;
  #isSolved = true;
  #numObservations = 0;
  /** Of the latest ones in a row that were far below what was expected, the part of it that each was. */
  #partsFarBelow: number[] = [];

  /**
   * `decay` is what an observation weighs after the next one, in (0, 1]. `canScale` is for what has been seen at all sizes
   * once: of observations that are all alike nothing tells what others should be scaled to.
   */
  constructor(numFeatures: number, decay: number, { canScale = false } = {}) {
    this.#decay = decay;
    this.#canScale = canScale;
    this.#moments = Array.from({ length: numFeatures }, () => new Float64Array(numFeatures));
    this.#targets = new Float64Array(numFeatures);
    this.#coefficients = new Float64Array(numFeatures);
  }

  get numObservations(): number {
    return this.#numObservations;
  }

  /** All that was learned, as plain numbers. */
  snapshot(): RegressionSnapshot {
    return {
      numObservations: this.#numObservations,
      moments: this.#moments.map((row) => [...row]),
      targets: [...this.#targets],
      coefficients: [...this.#coefficients],
    };
  }

  /** Takes over what a regression of the same features had learned. Returns false, and changes nothing, where it does not fit. */
  restore({ numObservations, moments, targets, coefficients }: RegressionSnapshot): boolean {
    const numFeatures = this.#targets.length;
    const rows = [targets, coefficients, ...moments];
    const fits = rows.length === numFeatures + 2 && rows.every((row) => isVector(row, numFeatures));
    if (!fits || !Number.isFinite(numObservations)) return false;
    for (const [index, row] of moments.entries()) this.#moments[index]!.set(row);
    this.#targets.set(targets);
    this.#coefficients.set(coefficients);
    this.#numObservations = numObservations;
    this.#isSolved = false;
    return true;
  }

  observe(features: readonly number[], value: number): void {
    const target = this.#compare(value, this.#expect(features));
    for (let row = 0; row < features.length; row += 1) {
      const moments = this.#moments[row]!;
      const feature = features[row]!;
      for (let column = 0; column < features.length; column += 1) {
        moments[column] = moments[column]! * this.#decay + feature * features[column]!;
      }
      this.#targets[row] = this.#targets[row]! * this.#decay + feature * target;
    }
    this.#numObservations += 1;
    this.#isSolved = false;
  }

  predict(features: readonly number[]): number {
    if (!this.#isSolved) this.#solve();
    return dot(this.#coefficients, features);
  }

  /** Null where there is nothing to go by. */
  #expect(features: readonly number[]): number | null {
    if (this.#numObservations < NUM_WARM_UP) return null;
    const expected = this.predict(features);
    return expected === 0 ? null : expected;
  }

  /** What an observation counts as. */
  #compare(value: number, expected: number | null): number {
    if (expected === null) return value;
    const part = value / expected;
    const latest = this.#partsFarBelow.slice(1 - NUM_FAR_BELOW);
    this.#partsFarBelow = part < 1 / MAX_SURPRISE ? [...latest, part] : [];
    if (this.#canScale && this.#partsFarBelow.length >= NUM_FAR_BELOW) {
      this.#scale(Math.max(...this.#partsFarBelow));
      this.#partsFarBelow = [];
    }
    return Math.min(value, expected * MAX_SURPRISE);
  }

  /** A guess for calls of other kinds than the latest, so it weighs little. */
  #scale(factor: number): void {
    for (const [index, moments] of this.#moments.entries()) {
      for (let column = 0; column < moments.length; column += 1) moments[column]! *= SCALED_WEIGHT;
      this.#targets[index]! *= factor * SCALED_WEIGHT;
      this.#coefficients[index]! *= factor;
    }
  }

  #solve(): void {
    for (let sweep = 0; sweep < NUM_SWEEPS; sweep += 1) {
      for (let index = 0; index < this.#moments.length; index += 1) this.#descend(index);
    }
    this.#isSolved = true;
  }

  /** Sets one coefficient to its best value given the others. */
  #descend(index: number): void {
    const moments = this.#moments[index]!;
    const own = moments[index]!;
    if (own === 0) return;
    const rest = dot(moments, this.#coefficients) - own * this.#coefficients[index]!;
    this.#coefficients[index] = Math.max(0, (this.#targets[index]! - rest) / own);
  }
}

function isVector(row: unknown, length: number): boolean {
  return Array.isArray(row) && row.length === length && row.every((value) => Number.isFinite(value));
}

function dot(left: ArrayLike<number>, right: ArrayLike<number>): number {
  let sum = 0;
  for (let index = 0; index < left.length; index += 1) sum += left[index]! * right[index]!;
  return sum;
}
