import type { RequestRecord } from "../load/request.ts";
import type { WorkerUsage } from "../load/worker-protocol.ts";

import { distributionOf, type DistributionSummary } from "./distribution.ts";
import { fairness, type FairnessSummary } from "./fairness.ts";
import { latencyDistributions, summaries, type LatencySummaries } from "./latency.ts";
import { goodput, type GoodputSummary, type Slo } from "./slo.ts";
import { stalls, type StallSummary } from "./stalls.ts";
import { throughput, type Throughput } from "./throughput.ts";
import { isDueIn, windowOf, windowSeconds, type Window, type WindowOptions } from "./window.ts";

const MAX_EXAMPLE_CHARS = 200;

/** One run as measured: its records and what generating the load cost. */
export interface RunData {
  records: readonly RequestRecord[];
  usage: readonly WorkerUsage[];
}

export interface RequestCounts {
  /** All requests of the run, warm-up included. */
  sent: number;
  /** Due in the window: completed + failed + cancelled + slowReaders. */
  due: number;
  completed: number;
  failed: number;
  cancelled: number;
  slowReaders: number;
  inputTokens: number;
  cachedTokens: number;
  outputTokens: number;
}

/** What the load generator itself did: numbers that tell whether to believe the others. */
export interface ClientSummary {
  lag: DistributionSummary | null;
  loopDelayP99Ms: number;
  /** CPU of all workers together, in cores. */
  cpuCores: number;
  /** The busiest worker's CPU, as a share of one core. */
  busiestWorkerShare: number;
  numWorkers: number;
}

export interface RunSummary {
  window: Window & { seconds: number };
  counts: RequestCounts;
  latency: LatencySummaries;
  latencyByLabel: Record<string, LatencySummaries>;
  throughput: Throughput;
  goodput: GoodputSummary | null;
  fairness: FairnessSummary | null;
  stalls: StallSummary;
  /** Failed requests by kind, and what the first of each kind said. */
  errors: Record<string, number>;
  errorExamples: Record<string, string>;
  client: ClientSummary;
}

/** Latency distributions hold these: due in the window, completed, and read at full speed. */
export function measuredRecords(records: readonly RequestRecord[], window: Window): RequestRecord[] {
  return records.filter((record) => isDueIn(window, record) && record.outcome === "ok" && !record.slowReader);
}

export function summarizeRun(
  { records, usage }: RunData,
  options: WindowOptions,
  slo: Slo | null,
): RunSummary {
  const window = windowOf(records, options);
  const due = records.filter((record) => isDueIn(window, record));
  const measured = measuredRecords(records, window);
  const judged = due.filter((record) => record.outcome !== "cancelled" && !record.slowReader);
  return {
    window: { ...window, seconds: windowSeconds(window) },
    counts: counts(records, due),
    latency: summaries(latencyDistributions(measured)),
    latencyByLabel: byLabel(measured),
    throughput: throughput(records, window),
    goodput: slo === null ? null : goodput(judged, slo, window),
    fairness: fairness(due, window),
    stalls: stalls(measured),
    errors: errorsByKind(due),
    errorExamples: firstErrors(due),
    client: clientSummary(due, usage),
  };
}

function counts(all: readonly RequestRecord[], due: readonly RequestRecord[]): RequestCounts {
  const completed = due.filter((record) => record.outcome === "ok");
  const total = (value: (record: RequestRecord) => number): number =>
    completed.reduce((sum, record) => sum + value(record), 0);
  return {
    sent: all.length,
    due: due.length,
    completed: completed.filter((record) => !record.slowReader).length,
    failed: due.filter((record) => record.outcome === "error").length,
    cancelled: due.filter((record) => record.outcome === "cancelled").length,
    slowReaders: completed.filter((record) => record.slowReader).length,
    inputTokens: total((record) => record.promptTokens ?? record.requestedInputTokens ?? 0),
    cachedTokens: total((record) => record.cachedTokens ?? 0),
    outputTokens: total((record) => record.outputTokens),
  };
}

/** Latencies of each class of requests; empty when there is only one class. */
function byLabel(records: readonly RequestRecord[]): Record<string, LatencySummaries> {
  const labels = [...new Set(records.map((record) => record.label))].toSorted();
  if (labels.length < 2) return {};
  return Object.fromEntries(
    labels.map((label) => [
      label,
      summaries(latencyDistributions(records.filter((record) => record.label === label))),
    ]),
  );
}

function errorsByKind(records: readonly RequestRecord[]): Record<string, number> {
  const counted: Record<string, number> = {};
  for (const { outcome, errorKind } of records) {
    if (outcome === "error" && errorKind !== null) counted[errorKind] = (counted[errorKind] ?? 0) + 1;
  }
  return counted;
}

function firstErrors(records: readonly RequestRecord[]): Record<string, string> {
  const examples: Record<string, string> = {};
  for (const { outcome, errorKind, errorMessage } of records) {
    if (outcome === "error" && errorKind !== null)
      examples[errorKind] ??= (errorMessage ?? "").replaceAll(/\s+/g, " ").slice(0, MAX_EXAMPLE_CHARS);
  }
  return examples;
}

function clientSummary(records: readonly RequestRecord[], usage: readonly WorkerUsage[]): ClientSummary {
  const shares = usage.map(({ cpuMs, wallMs }) => cpuMs / Math.max(wallMs, 1));
  return {
    lag: distributionOf(
      records.map(({ sentMs, scheduledMs, slotWaitMs }) => sentMs - scheduledMs - slotWaitMs),
    ).summary(),
    loopDelayP99Ms: Math.max(0, ...usage.map((each) => each.loopDelayP99Ms)),
    cpuCores: shares.reduce((sum, share) => sum + share, 0),
    busiestWorkerShare: Math.max(0, ...shares),
    numWorkers: usage.length,
  };
}
