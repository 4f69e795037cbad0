import type { RequestRecord } from "../load/request.ts";

import { isInside, windowSeconds, type Window } from "./window.ts";

/** Rates over the window: each counts the events that happened in it, per second. */
export interface Throughput {
  requestsPerSecond: number;
  inputTokensPerSecond: number;
  outputTokensPerSecond: number;
  totalTokensPerSecond: number;
  /** Largest number of output tokens in a full second of the window. */
  peakOutputTokensPerSecond: number;
  /** Largest number of requests between sent and ended at one moment. */
  peakConcurrency: number;
  /** Mean number of requests in flight (Little: the sum of their times in the window over its length). */
  meanConcurrency: number;
}

export function throughput(records: readonly RequestRecord[], window: Window): Throughput {
  const seconds = windowSeconds(window);
  const perSecond = (total: number): number => (seconds > 0 ? total / seconds : 0);
  const outputTokens = sum(records, (record) => outputTokensIn(record, window));
  const inputTokens = sum(records, (record) => inputTokensIn(record, window));
  return {
    requestsPerSecond: perSecond(
      records.filter((record) => record.outcome === "ok" && isInside(window, record.endMs)).length,
    ),
    inputTokensPerSecond: perSecond(inputTokens),
    outputTokensPerSecond: perSecond(outputTokens),
    totalTokensPerSecond: perSecond(inputTokens + outputTokens),
    peakOutputTokensPerSecond: Math.max(0, ...tokensBySecond(records, window)),
    peakConcurrency: peakConcurrency(records),
    meanConcurrency: perSecond(sum(records, (record) => overlapMs(record, window)) / 1000),
  };
}

function sum(records: readonly RequestRecord[], value: (record: RequestRecord) => number): number {
  return records.reduce((total, record) => total + value(record), 0);
}

/** A prompt counts when its first token arrives: that is when its prefill was done. */
function inputTokensIn(record: RequestRecord, window: Window): number {
  const doneMs = record.chunkMs[0] ?? (record.outcome === "ok" ? record.endMs : null);
  return doneMs !== null && isInside(window, doneMs)
    ? (record.promptTokens ?? record.requestedInputTokens ?? 0)
    : 0;
}

/** The share of the request's output tokens that arrived in the window. */
export function outputTokensIn(record: RequestRecord, window: Window): number {
  let counted = 0;
  let inside = 0;
  for (let i = 0; i < record.chunkMs.length; i++) {
    const numTokens = record.chunkTokens[i] as number;
    counted += numTokens;
    if (isInside(window, record.chunkMs[i] as number)) inside += numTokens;
  }
  // Chunks can hold more tokens than could be told apart; usage knows the total.
  return counted === 0 ? 0 : (inside / counted) * record.outputTokens;
}

function overlapMs({ sentMs, endMs }: RequestRecord, window: Window): number {
  return Math.max(0, Math.min(endMs, window.endMs) - Math.max(sentMs, window.startMs));
}

function tokensBySecond(records: readonly RequestRecord[], window: Window): number[] {
  const numBuckets = Math.max(1, Math.floor(windowSeconds(window)));
  const buckets = Array.from({ length: numBuckets }, () => 0);
  for (const { chunkMs, chunkTokens } of records) {
    for (let i = 0; i < chunkMs.length; i++) {
      const bucket = Math.floor(((chunkMs[i] as number) - window.startMs) / 1000);
      if (bucket >= 0 && bucket < numBuckets)
        buckets[bucket] = (buckets[bucket] as number) + (chunkTokens[i] as number);
    }
  }
  return buckets;
}

/** Sweep over starts and ends; an end at the same moment frees its place first. */
export function peakConcurrency(records: readonly RequestRecord[]): number {
  const events = records.flatMap(({ sentMs, endMs }): [number, number][] => [
    [sentMs, 1],
    [endMs, -1],
  ]);
  events.sort(([aMs, a], [bMs, b]) => aMs - bMs || a - b);
  let current = 0;
  let peak = 0;
  for (const [, change] of events) {
    current += change;
    peak = Math.max(peak, current);
  }
  return peak;
}
