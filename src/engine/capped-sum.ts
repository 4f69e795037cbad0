/** Sums of numbers none of which counts for more than a cap, for any cap, without adding them up again. */
export class CappedSum {
  readonly #sorted: Float64Array;
  /** Of the smallest ones: `#sums[count]`. */
  readonly #sums: Float64Array;

  constructor(values: readonly number[]) {
    this.#sorted = Float64Array.from(values).sort();
    this.#sums = new Float64Array(values.length + 1);
    for (const [index, value] of this.#sorted.entries()) this.#sums[index + 1] = this.#sums[index]! + value;
  }

  upTo(cap: number): number {
    let numWhole = 0;
    for (let end = this.#sorted.length; numWhole < end;) {
      const middle = (numWhole + end) >> 1;
      if (this.#sorted[middle]! <= cap) numWhole = middle + 1;
      else end = middle;
    }
    return this.#sums[numWhole]! + (this.#sorted.length - numWhole) * cap;
  }
}
