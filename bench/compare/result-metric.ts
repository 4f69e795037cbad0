import type { BenchResult, RateSummary } from "../report/bench-result.ts";

import { LATENCY_NAMES, type LatencyName } from "../measure/latency.ts";

const STATISTICS = ["mean", "std", "min", "p50", "p90", "p95", "p99", "p99.9", "max", "count"] as const;

const RATES: Record<string, keyof RateSummary> = {
  "throughput.requests": "requestThroughput",
  "throughput.input": "inputThroughput",
  "throughput.output": "outputThroughput",
  "throughput.total": "totalThroughput",
  goodput: "goodput",
  attainment: "attainment",
  errors: "failedShare",
};

const PER_RUN_METRICS: Record<string, (run: BenchResult["runs"][number]) => number | null> = {
  "stall.p50": ({ stalls }) => stalls.longestPerRequest?.p50 ?? null,
  "stall.p99": ({ stalls }) => stalls.longestPerRequest?.p99 ?? null,
  "stall.max": ({ stalls }) => stalls.longestPerRequest?.max ?? null,
  "intruder.p99": ({ stalls }) => stalls.duringIntruders?.p99 ?? null,
  "intruder.max": ({ stalls }) => stalls.duringIntruders?.max ?? null,
  "lag.p99": ({ client }) => client.lag?.p99 ?? null,
  "fairness.throughput": ({ fairness }) => fairness?.jainOfThroughput ?? null,
  "fairness.ttft": ({ fairness }) => fairness?.jainOfTtft ?? null,
};

/** Names accepted in conditions and objectives. */
export const METRIC_HELP =
  `LATENCY.STATISTIC in ms (${LATENCY_NAMES.join(", ")}; ${STATISTICS.join(", ")}), such as ttft.p99; ` +
  [...Object.keys(RATES), ...Object.keys(PER_RUN_METRICS)].join(", ");

/** Whether `name` is a metric that results can have. */
export function isMetricName(name: string): boolean {
  return name in RATES || name in PER_RUN_METRICS || latencyPath(name) !== null;
}

/** The value of a metric in a result; null where the result has none. Several runs: the worst of the per-run ones. */
export function resultMetric(result: BenchResult, name: string): number | null {
  const rate = RATES[name];
  if (rate !== undefined) return result.rates[rate];
  const perRun = PER_RUN_METRICS[name];
  if (perRun !== undefined)
    return worst(
      name,
      result.runs.flatMap((run) => perRun(run) ?? []),
    );
  const path = latencyPath(name);
  return path === null ? null : (result.latency[path.latency]?.[path.statistic] ?? null);
}

function worst(name: string, values: readonly number[]): number | null {
  if (values.length === 0) return null;
  return name.startsWith("fairness") ? Math.min(...values) : Math.max(...values);
}

function latencyPath(name: string): { latency: LatencyName; statistic: (typeof STATISTICS)[number] } | null {
  const dot = name.indexOf(".");
  const latency = LATENCY_NAMES.find((each) => each === name.slice(0, dot));
  const statistic = STATISTICS.find((each) => each === name.slice(dot + 1));
  return latency === undefined || statistic === undefined ? null : { latency, statistic };
}
