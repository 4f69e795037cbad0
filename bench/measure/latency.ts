import type { RequestRecord } from "../load/request.ts";

import { Distribution, type DistributionSummary } from "./distribution.ts";
import { forEachGap, interTokenGaps, requestMetrics } from "./request-metrics.ts";

export const LATENCY_NAMES = [
  "ttft",
  "tpot",
  "itl",
  "icl",
  "e2el",
  "ttft_sent",
  "e2el_sent",
  "client_queue",
  "server_queue",
] as const;

export type LatencyName = (typeof LATENCY_NAMES)[number];

export type LatencyDistributions = Record<LatencyName, Distribution>;
export type LatencySummaries = Record<LatencyName, DistributionSummary | null>;

/** All latency distributions of the given requests. */
export function latencyDistributions(records: readonly RequestRecord[]): LatencyDistributions {
  const distributions = Object.fromEntries(
    LATENCY_NAMES.map((name) => [name, new Distribution()]),
  ) as LatencyDistributions;
  for (const record of records) {
    for (const name of LATENCY_NAMES) addValues(distributions[name], record, name);
  }
  return distributions;
}

function addValues(distribution: Distribution, record: RequestRecord, name: LatencyName): void {
  if (name === "itl") {
    forEachGap(record, (gapMs, numTokens) => distribution.add(gapMs / numTokens, numTokens));
  } else {
    for (const value of latencyValues(record, name)) distribution.add(value);
  }
}

export function summaries(distributions: LatencyDistributions): LatencySummaries {
  return Object.fromEntries(
    LATENCY_NAMES.map((name) => [name, distributions[name].summary()]),
  ) as LatencySummaries;
}

/** The values of one request for one latency: several for gaps, none where it is undefined. */
export function latencyValues(record: RequestRecord, name: LatencyName): number[] {
  if (name === "itl") return interTokenGaps(record);
  if (name === "icl") return interChunkGaps(record);
  const value = singleValue(record, name);
  return value === null ? [] : [value];
}

function interChunkGaps(record: RequestRecord): number[] {
  const gaps: number[] = [];
  forEachGap(record, (gapMs) => gaps.push(gapMs));
  return gaps;
}

function singleValue(record: RequestRecord, name: Exclude<LatencyName, "itl" | "icl">): number | null {
  const metrics = requestMetrics(record);
  switch (name) {
    case "ttft":
      return metrics.ttftMs;
    case "tpot":
      return metrics.tpotMs;
    case "e2el":
      return metrics.e2elMs;
    case "ttft_sent":
      return metrics.ttftSentMs;
    case "e2el_sent":
      return metrics.e2elSentMs;
    case "client_queue":
      return metrics.clientQueueMs;
    case "server_queue":
      return record.serverQueueMs;
  }
}
