import type { RequestRecord } from "../load/request.ts";

import { Distribution, distributionOf, type DistributionSummary } from "./distribution.ts";
import { forEachGap, requestMetrics } from "./request-metrics.ts";

export interface StallSummary {
  /** Each request's longest silence between two chunks. */
  longestPerRequest: DistributionSummary | null;
  /** Share of inter-chunk gaps longer than three times their median. */
  shareOfLongGaps: number;
  /** Gaps of other streams that overlap an intruder's prefill (sent to first token); null without intruders. */
  duringIntruders: DistributionSummary | null;
  outsideIntruders: DistributionSummary | null;
}

const LONG_GAP_FACTOR = 3;

export function stalls(records: readonly RequestRecord[]): StallSummary {
  const gaps = new Distribution();
  for (const record of records) forEachGap(record, (gapMs) => gaps.add(gapMs));
  return {
    longestPerRequest: distributionOf(
      records.flatMap((record) => requestMetrics(record).stallMs ?? []),
    ).summary(),
    shareOfLongGaps: shareOfLongGaps(records, gaps),
    ...interference(records),
  };
}

function shareOfLongGaps(records: readonly RequestRecord[], gaps: Distribution): number {
  if (gaps.count === 0) return 0;
  const limitMs = gaps.percentile(50) * LONG_GAP_FACTOR;
  let numLong = 0;
  for (const record of records) forEachGap(record, (gapMs) => (numLong += gapMs > limitMs ? 1 : 0));
  return numLong / gaps.count;
}

type Interval = readonly [startMs: number, endMs: number];

/**
 * What a long prompt does to everybody else: the residents' inter-chunk gaps split by whether an
 * intruder was between its sending and its first token at some time in the gap.
 */
function interference(
  records: readonly RequestRecord[],
): Pick<StallSummary, "duringIntruders" | "outsideIntruders"> {
  const prefills = mergeIntervals(
    records.flatMap(({ label, sentMs, chunkMs }): Interval[] =>
      label === "intruder" && chunkMs[0] !== undefined ? [[sentMs, chunkMs[0]]] : [],
    ),
  );
  if (prefills.length === 0) return { duringIntruders: null, outsideIntruders: null };
  const during = new Distribution();
  const outside = new Distribution();
  for (const { label, chunkMs } of records) {
    if (label === "intruder") continue;
    for (let i = 1; i < chunkMs.length; i++) {
      const gap: Interval = [chunkMs[i - 1] as number, chunkMs[i] as number];
      (overlapsAny(prefills, gap) ? during : outside).add(gap[1] - gap[0]);
    }
  }
  return { duringIntruders: during.summary(), outsideIntruders: outside.summary() };
}

/** Sorts intervals and joins those that touch, so that one binary search answers a question. */
export function mergeIntervals(intervals: readonly Interval[]): Interval[] {
  const merged: [number, number][] = [];
  for (const [startMs, endMs] of [...intervals].sort((a, b) => a[0] - b[0])) {
    const last = merged.at(-1);
    if (last !== undefined && startMs <= last[1]) last[1] = Math.max(last[1], endMs);
    else merged.push([startMs, endMs]);
  }
  return merged;
}

/** Whether `gap` shares time with one of the merged intervals. */
export function overlapsAny(merged: readonly Interval[], [startMs, endMs]: Interval): boolean {
  let low = 0;
  let high = merged.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((merged[middle] as Interval)[1] <= startMs) low = middle + 1;
    else high = middle;
  }
  const first = merged[low];
  return first !== undefined && first[0] < endMs;
}
