import type { RequestRecord } from "../load/request.ts";
import type { RunSummary } from "../measure/run-summary.ts";

import { bootstrapMeanRatio, bootstrapRatio, type Interval } from "../measure/bootstrap.ts";
import { thinned, valuesOf } from "../measure/confidence.ts";
import { distributionOf } from "../measure/distribution.ts";
import type { LatencyName } from "../measure/latency.ts";
import { deriveSeed, seededRandom } from "../seeded-random.ts";

/** The rounds of one side: measured records and summary of each. */
export interface Side {
  label: string;
  rounds: { measured: readonly RequestRecord[]; summary: RunSummary }[];
}

export interface Comparison {
  metric: string;
  unit: "ms" | "per second" | "share";
  a: number;
  b: number;
  /** b / a and its 95 % interval over the rounds; null with fewer than two rounds or a zero. */
  ratio: number | null;
  interval: Interval | null;
  verdict: "better" | "worse" | "no difference shown";
}

const COMPARED: readonly { latency: LatencyName; percent: number }[] = [
  { latency: "ttft", percent: 50 },
  { latency: "ttft", percent: 99 },
  { latency: "tpot", percent: 50 },
  { latency: "tpot", percent: 99 },
  { latency: "itl", percent: 50 },
  { latency: "itl", percent: 99 },
  { latency: "e2el", percent: 50 },
  { latency: "e2el", percent: 99 },
];

const RATES: readonly {
  metric: string;
  unit: Comparison["unit"];
  value: (run: RunSummary) => number | null;
}[] = [
  { metric: "throughput.requests", unit: "per second", value: (run) => run.throughput.requestsPerSecond },
  { metric: "throughput.output", unit: "per second", value: (run) => run.throughput.outputTokensPerSecond },
  { metric: "goodput", unit: "per second", value: (run) => run.goodput?.requestsPerSecond ?? null },
  { metric: "attainment", unit: "share", value: (run) => run.goodput?.attainment ?? null },
];

const NUM_RESAMPLES = 1000;

/** Compares B with A, round by round; 'better' and 'worse' speak of B and only where the interval excludes 1. */
export function compareSides(a: Side, b: Side, seed: number): Comparison[] {
  const random = seededRandom(deriveSeed(seed, "compare"));
  const options = { numResamples: NUM_RESAMPLES, random };
  const latencies = COMPARED.flatMap(({ latency, percent }): Comparison[] => {
    const clusters = [a, b].map((side) => side.rounds.map(({ measured }) => valuesOf(measured, latency)));
    const [valuesA, valuesB] = clusters as [number[][], number[][]];
    if (valuesA.flat().length === 0 || valuesB.flat().length === 0) return [];
    const interval = bootstrapRatio({ a: thinned(valuesA), b: thinned(valuesB) }, percent, options);
    const values = [valuesA, valuesB].map((each) => distributionOf(each.flat()).percentile(percent)) as [
      number,
      number,
    ];
    return [comparison({ metric: `${latency}.p${percent}`, unit: "ms" }, values, interval)];
  });
  const rates = RATES.flatMap(({ metric, unit, value }): Comparison[] => {
    const [valuesA, valuesB] = [a, b].map((side) =>
      side.rounds.flatMap(({ summary }) => value(summary) ?? []),
    ) as [number[], number[]];
    if (valuesA.length === 0 || valuesB.length === 0) return [];
    const interval = bootstrapMeanRatio({ a: valuesA, b: valuesB }, options);
    return [comparison({ metric, unit }, [mean(valuesA), mean(valuesB)], interval)];
  });
  return [...latencies, ...rates];
}

function comparison(
  { metric, unit }: Pick<Comparison, "metric" | "unit">,
  [a, b]: readonly [number, number],
  interval: Interval | null,
): Comparison {
  return { metric, unit, a, b, ratio: a > 0 ? b / a : null, interval, verdict: verdictOf(unit, interval) };
}

function verdictOf(unit: Comparison["unit"], interval: Interval | null): Comparison["verdict"] {
  if (interval === null || (interval[0] <= 1 && interval[1] >= 1)) return "no difference shown";
  const isHigher = interval[0] > 1;
  return isHigher === (unit !== "ms") ? "better" : "worse";
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
