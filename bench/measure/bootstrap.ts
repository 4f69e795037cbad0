import type { Random } from "../seeded-random.ts";

/** A 95 % confidence interval. */
export type Interval = readonly [low: number, high: number];

/** Values that belong together and are drawn together: one run's, or one request's. */
export type Cluster = readonly number[];

export interface BootstrapOptions {
  numResamples: number;
  random: Random;
}

const CONFIDENCE_TAILS = [0.025, 0.975] as const;

/** Nearest-rank percentile of ascending values; `percent` in (0, 100]. */
export function percentileOfSorted(sorted: readonly number[], percent: number): number {
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] as number;
}

/**
 * Cluster bootstrap of percentiles (Efron): draw as many clusters as there are, with replacement, pool
 * their values, take the percentile; the interval holds the middle 95 % of the results. Clusters keep
 * values together that are not independent, such as the gaps of one stream.
 *
 * Values are sorted once; a resample is a walk over them with each cluster's multiplicity as weight.
 */
export function bootstrapPercentiles(
  clusters: readonly Cluster[],
  percents: readonly number[],
  { numResamples, random }: BootstrapOptions,
): Interval[] | null {
  if (clusters.length < 2) return null;
  const sorted = sortPooled(clusters);
  if (sorted.values.length === 0) return null;
  const results = percents.map((): number[] => []);
  for (let i = 0; i < numResamples; i++) {
    const weights = drawMultiplicities(clusters.length, random);
    weightedPercentiles(sorted, weights, percents)?.forEach((value, which) => results[which]?.push(value));
  }
  return results.map(confidenceInterval);
}

/** Interval of the ratio of two percentiles from paired clusters: round i of A with round i of B. */
export function bootstrapRatio(
  { a, b }: { a: readonly Cluster[]; b: readonly Cluster[] },
  percent: number,
  { numResamples, random }: BootstrapOptions,
): Interval | null {
  if (a.length < 2 || a.length !== b.length) return null;
  const sortedA = sortPooled(a);
  const sortedB = sortPooled(b);
  const ratios: number[] = [];
  for (let i = 0; i < numResamples; i++) {
    const weights = drawMultiplicities(a.length, random);
    const [valueA] = weightedPercentiles(sortedA, weights, [percent]) ?? [];
    const [valueB] = weightedPercentiles(sortedB, weights, [percent]) ?? [];
    if (valueA !== undefined && valueB !== undefined && valueA > 0) ratios.push(valueB / valueA);
  }
  return ratios.length === 0 ? null : confidenceInterval(ratios);
}

/** Interval of the mean of independent values: one per run, such as a run's throughput. */
export function bootstrapMean(
  values: readonly number[],
  { numResamples, random }: BootstrapOptions,
): Interval | null {
  if (values.length < 2) return null;
  const means: number[] = [];
  for (let i = 0; i < numResamples; i++) {
    let sum = 0;
    for (let j = 0; j < values.length; j++) sum += values[Math.floor(random() * values.length)] as number;
    means.push(sum / values.length);
  }
  return confidenceInterval(means);
}

/** Interval of mean(b) / mean(a) from paired values: round i of A with round i of B. */
export function bootstrapMeanRatio(
  { a, b }: { a: readonly number[]; b: readonly number[] },
  { numResamples, random }: BootstrapOptions,
): Interval | null {
  if (a.length < 2 || a.length !== b.length) return null;
  const ratios: number[] = [];
  for (let i = 0; i < numResamples; i++) {
    let sumA = 0;
    let sumB = 0;
    for (let j = 0; j < a.length; j++) {
      const drawn = Math.floor(random() * a.length);
      sumA += a[drawn] as number;
      sumB += b[drawn] as number;
    }
    if (sumA > 0) ratios.push(sumB / sumA);
  }
  return ratios.length === 0 ? null : confidenceInterval(ratios);
}

interface SortedValues {
  values: Float64Array;
  clusterOf: Uint32Array;
  sizes: Uint32Array;
}

function sortPooled(clusters: readonly Cluster[]): SortedValues {
  const pooled = clusters.flatMap((cluster, index) =>
    cluster.map((value): [number, number] => [value, index]),
  );
  pooled.sort(([a], [b]) => a - b);
  return {
    values: Float64Array.from(pooled, ([value]) => value),
    clusterOf: Uint32Array.from(pooled, ([, index]) => index),
    sizes: Uint32Array.from(clusters, (cluster) => cluster.length),
  };
}

function drawMultiplicities(numClusters: number, random: Random): Uint32Array {
  const weights = new Uint32Array(numClusters);
  for (let i = 0; i < numClusters; i++) {
    const drawn = Math.floor(random() * numClusters);
    weights[drawn] = (weights[drawn] as number) + 1;
  }
  return weights;
}

/** Nearest-rank percentiles of the values repeated by their cluster's weight; null when all weigh 0. */
function weightedPercentiles(
  { values, clusterOf, sizes }: SortedValues,
  weights: Uint32Array,
  percents: readonly number[],
): number[] | null {
  let total = 0;
  for (let i = 0; i < sizes.length; i++) total += (sizes[i] as number) * (weights[i] as number);
  if (total === 0) return null;
  const found: number[] = [];
  let seen = 0;
  let next = 0;
  for (let i = 0; i < values.length && next < percents.length; i++) {
    seen += weights[clusterOf[i] as number] as number;
    while (next < percents.length && seen >= Math.ceil(((percents[next] as number) / 100) * total)) {
      found.push(values[i] as number);
      next++;
    }
  }
  return found;
}

function confidenceInterval(results: readonly number[]): Interval {
  const sorted = [...results].sort((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number;
  return [at(CONFIDENCE_TAILS[0]), at(CONFIDENCE_TAILS[1])];
}
