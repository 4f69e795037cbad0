import type { BenchConfig } from "../bench-config.ts";
import type { TokenCalibration } from "../load/prompt-writer.ts";
import type { RequestRecord } from "../load/request.ts";
import type { ServerFacts } from "../load/server-facts.ts";
import type { BenchData } from "../run-benchmark.ts";

import { bootstrapMean, type Interval } from "../measure/bootstrap.ts";
import { latencyIntervals, type LatencyIntervals } from "../measure/confidence.ts";
import { latencyDistributions, summaries, type LatencySummaries } from "../measure/latency.ts";
import { DEFINITIONS } from "../measure/request-metrics.ts";
import { resultWarnings, type ResultWarning } from "../measure/result-warnings.ts";
import { measuredRecords, summarizeRun, type RunSummary } from "../measure/run-summary.ts";
import { isDueIn } from "../measure/window.ts";
import { deriveSeed, seededRandom } from "../seeded-random.ts";
import { machineFacts, type MachineFacts } from "./machine-facts.ts";

export const RESULT_SCHEMA = "headway-bench/1";

/** Scalars of a run whose mean over the runs is reported. */
export interface RateSummary {
  requestThroughput: number;
  inputThroughput: number;
  outputThroughput: number;
  totalThroughput: number;
  goodput: number | null;
  attainment: number | null;
  failedShare: number;
}

/** The harness's own result; JSON output adds vLLM's flat names to it. */
export interface BenchResult {
  schema: typeof RESULT_SCHEMA;
  date: string;
  server: ServerFacts;
  machine: MachineFacts;
  config: BenchConfig;
  calibration: TokenCalibration;
  interrupted: boolean;
  warnings: ResultWarning[];
  definitions: typeof DEFINITIONS;
  /** Pooled over all runs. */
  latency: LatencySummaries;
  latencyByLabel: Record<string, LatencySummaries>;
  /** 95 % bootstrap intervals, over runs if there are several, else over requests. */
  intervals: LatencyIntervals;
  intervalsOver: "runs" | "requests";
  rates: RateSummary;
  rateIntervals: Partial<Record<keyof RateSummary, Interval>>;
  runs: RunSummary[];
}

export interface ResultInput {
  config: BenchConfig;
  data: BenchData;
  server: ServerFacts;
  date: Date;
}

export function benchResult({ config, data, server, date }: ResultInput): BenchResult {
  // An interrupted run ends with its last event, not after the time that was planned.
  const options = { ...windowOptions(config), ...(data.interrupted ? { durationMs: null } : {}) };
  const runs = data.runs.map((run) => summarizeRun(run, options, config.slo));
  const measured = data.runs.map(({ records }, index) =>
    measuredRecords(records, (runs[index] as RunSummary).window),
  );
  const pooled = measured.flat();
  return {
    schema: RESULT_SCHEMA,
    date: date.toISOString(),
    server,
    machine: machineFacts(),
    config: withoutSecrets(config),
    calibration: data.calibration,
    interrupted: data.interrupted,
    warnings: resultWarnings(config, runs, dueRecords(data, runs)),
    definitions: DEFINITIONS,
    latency: summaries(latencyDistributions(pooled)),
    latencyByLabel: pooledByLabel(pooled),
    intervals: latencyIntervals(measured, config.load.seed),
    intervalsOver: measured.length > 1 ? "runs" : "requests",
    ...meanRates(runs, config.load.seed),
    runs,
  };
}

export function windowOptions({ warmupMs, cooldownMs, load }: BenchConfig) {
  return { warmupMs, cooldownMs, durationMs: load.durationMs };
}

function dueRecords(data: BenchData, runs: readonly RunSummary[]): RequestRecord[] {
  return data.runs.flatMap(({ records }, index) => {
    const { window } = runs[index] as RunSummary;
    return records.filter((record) => isDueIn(window, record));
  });
}

function pooledByLabel(records: readonly RequestRecord[]): Record<string, LatencySummaries> {
  const labels = [...new Set(records.map((record) => record.label))].toSorted();
  if (labels.length < 2) return {};
  return Object.fromEntries(
    labels.map((label) => [
      label,
      summaries(latencyDistributions(records.filter((record) => record.label === label))),
    ]),
  );
}

/** Keys never enter a result file. */
export function withoutSecrets(config: BenchConfig): BenchConfig {
  return {
    ...config,
    target: { ...config.target, key: null },
    workload: {
      ...config.workload,
      tenants: config.workload.tenants.map((tenant) => ({ ...tenant, key: null })),
    },
  };
}

function ratesOf({ throughput, goodput, counts }: RunSummary): RateSummary {
  return {
    requestThroughput: throughput.requestsPerSecond,
    inputThroughput: throughput.inputTokensPerSecond,
    outputThroughput: throughput.outputTokensPerSecond,
    totalThroughput: throughput.totalTokensPerSecond,
    goodput: goodput?.requestsPerSecond ?? null,
    attainment: goodput?.attainment ?? null,
    failedShare: counts.due === 0 ? 0 : counts.failed / counts.due,
  };
}

const RATE_NAMES = [
  "requestThroughput",
  "inputThroughput",
  "outputThroughput",
  "totalThroughput",
  "goodput",
  "attainment",
  "failedShare",
] as const satisfies readonly (keyof RateSummary)[];

function meanRates(runs: readonly RunSummary[], seed: number): Pick<BenchResult, "rates" | "rateIntervals"> {
  const perRun = runs.map(ratesOf);
  const random = seededRandom(deriveSeed(seed, "rates"));
  const means: Partial<Record<keyof RateSummary, number | null>> = {};
  const rateIntervals: Partial<Record<keyof RateSummary, Interval>> = {};
  for (const name of RATE_NAMES) {
    const values = perRun.flatMap((rates) => rates[name] ?? []);
    means[name] = values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
    const interval = bootstrapMean(values, { numResamples: 1000, random });
    if (interval !== null) rateIntervals[name] = interval;
  }
  return { rates: means as RateSummary, rateIntervals };
}
