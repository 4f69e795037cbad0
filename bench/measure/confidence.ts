import type { RequestRecord } from "../load/request.ts";

import { deriveSeed, seededRandom } from "../seeded-random.ts";
import { bootstrapPercentiles, type Cluster, type Interval } from "./bootstrap.ts";
import { PERCENTILES, type PercentileName } from "./distribution.ts";
import { LATENCY_NAMES, latencyValues, type LatencyName } from "./latency.ts";

export type PercentileIntervals = Record<PercentileName, Interval>;
export type LatencyIntervals = Record<LatencyName, PercentileIntervals | null>;

const NUM_RESAMPLES = 300;
/** Above this many values every n-th is used: the interval hardly changes, the time to compute it does. */
const MAX_VALUES = 200_000;

/**
 * 95 % intervals of all percentiles. `groups` are runs, resampled whole; a single run is resampled
 * by request instead, which knows nothing of the difference between runs and so is too narrow.
 */
export function latencyIntervals(
  groups: readonly (readonly RequestRecord[])[],
  seed: number,
): LatencyIntervals {
  const perCluster = groups.length > 1 ? groups : (groups[0] ?? []).map((record) => [record]);
  return Object.fromEntries(
    LATENCY_NAMES.map((name) => [
      name,
      intervals(
        perCluster.map((records) => valuesOf(records, name)),
        seed,
      ),
    ]),
  ) as LatencyIntervals;
}

/** One latency's values of several requests, as one cluster. */
export function valuesOf(records: readonly RequestRecord[], name: LatencyName): Cluster {
  return records.flatMap((record) => latencyValues(record, name));
}

function intervals(clusters: readonly Cluster[], seed: number): PercentileIntervals | null {
  const random = seededRandom(deriveSeed(seed, "bootstrap"));
  const found = bootstrapPercentiles(thinned(clusters), PERCENTILES, { numResamples: NUM_RESAMPLES, random });
  if (found === null) return null;
  return Object.fromEntries(
    PERCENTILES.map((percent, index) => [`p${percent}`, found[index]]),
  ) as PercentileIntervals;
}

export function thinned(clusters: readonly Cluster[]): readonly Cluster[] {
  const numValues = clusters.reduce((sum, cluster) => sum + cluster.length, 0);
  const step = Math.ceil(numValues / MAX_VALUES);
  return step <= 1 ? clusters : clusters.map((cluster) => cluster.filter((_, index) => index % step === 0));
}
