import { build, type Histogram } from "hdr-histogram-js";

/** Percentiles printed everywhere, as numbers in (0, 100). */
export const PERCENTILES = [50, 90, 95, 99, 99.9] as const;

export type PercentileName = "p50" | "p90" | "p95" | "p99" | "p99.9";

/** Summary of a set of values in milliseconds. All fields are NaN-free; an empty set is null instead. */
export interface DistributionSummary extends Record<PercentileName, number> {
  count: number;
  mean: number;
  std: number;
  min: number;
  max: number;
}

const MICROS_PER_MS = 1000;
const MAX_TRACKABLE_MICROS = 24 * 3600 * 1e6;

/**
 * Collects milliseconds in an HDR histogram (3 significant digits: percentiles within 0.1 %); mean,
 * standard deviation, minimum and maximum are exact.
 */
export class Distribution {
  readonly #histogram: Histogram;
  #count = 0;
  #mean = 0;
  #sumOfSquares = 0;
  #min = Infinity;
  #max = -Infinity;

  constructor(significantDigits: 2 | 3 = 3) {
    this.#histogram = build({ numberOfSignificantValueDigits: significantDigits });
  }

  add(valueMs: number, count = 1): void {
    const micros = Math.min(MAX_TRACKABLE_MICROS, Math.max(0, Math.round(valueMs * MICROS_PER_MS)));
    this.#histogram.recordValueWithCount(micros, count);
    this.#count += count;
    // Welford's update, weighted: stable for a million values of similar size.
    const delta = valueMs - this.#mean;
    this.#mean += (delta * count) / this.#count;
    this.#sumOfSquares += delta * (valueMs - this.#mean) * count;
    this.#min = Math.min(this.#min, valueMs);
    this.#max = Math.max(this.#max, valueMs);
  }

  get count(): number {
    return this.#count;
  }

  percentile(percent: number): number {
    const valueMs = this.#histogram.getValueAtPercentile(percent) / MICROS_PER_MS;
    return Math.min(this.#max, Math.max(this.#min, valueMs));
  }

  summary(): DistributionSummary | null {
    if (this.#count === 0) return null;
    return {
      count: this.#count,
      mean: this.#mean,
      std: Math.sqrt(this.#sumOfSquares / this.#count),
      min: this.#min,
      p50: this.percentile(50),
      p90: this.percentile(90),
      p95: this.percentile(95),
      p99: this.percentile(99),
      "p99.9": this.percentile(99.9),
      max: this.#max,
    };
  }

  /** Points (value, share of values at or below it) for a CDF chart. */
  cdf(): [valueMs: number, share: number][] {
    if (this.#count === 0) return [];
    return CDF_PERCENTS.map((percent) => [this.percentile(percent), percent / 100]);
  }
}

const CDF_PERCENTS = [
  ...Array.from({ length: 100 }, (_, percent) => percent),
  99.2,
  99.4,
  99.6,
  99.8,
  99.9,
  99.95,
  99.99,
  100,
];

export function distributionOf(values: Iterable<number>): Distribution {
  const distribution = new Distribution();
  for (const value of values) distribution.add(value);
  return distribution;
}
