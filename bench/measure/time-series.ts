import type { RequestRecord } from "../load/request.ts";

import { Distribution } from "./distribution.ts";
import { forEachGap, requestMetrics } from "./request-metrics.ts";

/** A run cut into equal slices, for charts. Latencies stand where the token arrived; null where none did. */
export interface TimeSeries {
  sliceSeconds: number;
  /** Middle of each slice, seconds since the start. */
  atSeconds: number[];
  ttftP50: (number | null)[];
  ttftP99: (number | null)[];
  itlP50: (number | null)[];
  itlP99: (number | null)[];
  outputTokensPerSecond: number[];
  completedPerSecond: number[];
  failedPerSecond: number[];
  inFlight: number[];
}

/** Few enough that a slice holds several events and a phone can tell two apart. */
const MAX_SLICES = 90;
const SLICE_SECONDS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300];

class Slice {
  // Two digits draw the same line as three and take an eighth of the memory.
  readonly ttft = new Distribution(2);
  readonly itl = new Distribution(2);
  tokens = 0;
  completed = 0;
  failed = 0;
  inFlightMs = 0;
}

export function timeSeries(records: readonly RequestRecord[]): TimeSeries {
  const lastMs = records.reduce((last, record) => Math.max(last, record.endMs), 0);
  const sliceSeconds = SLICE_SECONDS.find((each) => lastMs / 1000 / each <= MAX_SLICES) ?? 3600;
  const slices = Array.from(
    { length: Math.max(1, Math.ceil(lastMs / 1000 / sliceSeconds)) },
    () => new Slice(),
  );
  const at = (timeMs: number): Slice => {
    const index = Math.floor(timeMs / 1000 / sliceSeconds);
    return slices[Math.min(slices.length - 1, Math.max(0, index))] as Slice;
  };
  for (const record of records) {
    addRecord(record, at);
    addFlight(record, slices, sliceSeconds * 1000);
  }
  return seriesOf(slices, sliceSeconds);
}

function addRecord(record: RequestRecord, at: (timeMs: number) => Slice): void {
  record.chunkMs.forEach((timeMs, index) => (at(timeMs).tokens += record.chunkTokens[index] as number));
  if (record.outcome === "ok" && !record.slowReader) addLatencies(record, at);
  if (record.outcome === "ok") at(record.endMs).completed++;
  if (record.outcome === "error") at(record.endMs).failed++;
}

/** Of the requests whose latencies count elsewhere too: a slow reader's gaps are its own. */
function addLatencies(record: RequestRecord, at: (timeMs: number) => Slice): void {
  const { ttftMs } = requestMetrics(record);
  const firstMs = record.chunkMs[0];
  if (ttftMs !== null && firstMs !== undefined) at(firstMs).ttft.add(ttftMs);
  let index = 1;
  forEachGap(record, (gapMs, numTokens) =>
    at(record.chunkMs[index++] as number).itl.add(gapMs / numTokens, numTokens),
  );
}

function addFlight({ sentMs, endMs }: RequestRecord, slices: readonly Slice[], sliceMs: number): void {
  const last = Math.min(slices.length - 1, Math.floor(endMs / sliceMs));
  for (let index = Math.max(0, Math.floor(sentMs / sliceMs)); index <= last; index++) {
    const slice = slices[index] as Slice;
    slice.inFlightMs += Math.max(
      0,
      Math.min(endMs, (index + 1) * sliceMs) - Math.max(sentMs, index * sliceMs),
    );
  }
}

function seriesOf(slices: readonly Slice[], sliceSeconds: number): TimeSeries {
  const percentile = (distribution: Distribution, percent: number): number | null =>
    distribution.count === 0 ? null : distribution.percentile(percent);
  return {
    sliceSeconds,
    atSeconds: slices.map((_, index) => (index + 0.5) * sliceSeconds),
    ttftP50: slices.map(({ ttft }) => percentile(ttft, 50)),
    ttftP99: slices.map(({ ttft }) => percentile(ttft, 99)),
    itlP50: slices.map(({ itl }) => percentile(itl, 50)),
    itlP99: slices.map(({ itl }) => percentile(itl, 99)),
    outputTokensPerSecond: slices.map(({ tokens }) => tokens / sliceSeconds),
    completedPerSecond: slices.map(({ completed }) => completed / sliceSeconds),
    failedPerSecond: slices.map(({ failed }) => failed / sliceSeconds),
    inFlight: slices.map(({ inFlightMs }) => inFlightMs / 1000 / sliceSeconds),
  };
}
