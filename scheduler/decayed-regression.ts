/** An observation counts as at most this many times, or this part of, what was expected: one hiccup must not move the line. */
const MAX_SURPRISE = 3;

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
 * Online least squares with non-negative coefficients and exponential forgetting.
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
  #isSolved = true;
  #numObservations = 0;

  /** `decay` is what an observation weighs after the next one, in (0, 1]. */
  constructor(numFeatures: number, decay: number) {
    this.#decay = decay;
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
    const target = this.#clamp(features, value);
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

  #clamp(features: readonly number[], value: number): number {
    if (this.#numObservations < NUM_WARM_UP) return value;
    const expected = this.predict(features);
    if (expected === 0) return value;
    return Math.min(Math.max(value, expected / MAX_SURPRISE), expected * MAX_SURPRISE);
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
