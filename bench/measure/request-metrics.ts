import type { RequestRecord } from "../load/request.ts";

/** Definitions printed with every report that shows the measure. Latencies start at the scheduled time unless they say 'sent'. */
export const DEFINITIONS = {
  ttft: "Time to first token: scheduled time to the first chunk with text (empty role chunks do not count).",
  tpot: "Time per output token of a request: (last chunk - first chunk) / (output tokens - 1); only requests with 2 tokens or more.",
  itl: "Inter-token latency, pooled over all requests: the gap before each token after the first chunk; a chunk of n tokens counts as n gaps of 1/n.",
  icl: "Inter-chunk latency, pooled: the gap before each chunk after the first, whatever it holds.",
  e2el: "End-to-end latency: scheduled time to the end of the stream.",
  ttft_sent: "TTFT from the moment the request was sent (hides the wait inside the client).",
  e2el_sent: "E2EL from the moment the request was sent.",
  client_queue:
    "Wait inside the client: sent - scheduled (the client's own lag, plus the wait for --concurrency in an open loop).",
  server_queue:
    "Queue time in the server: as it reports it (metrics.queue_time_ms), else TTFT from sent minus the prefill time that it reports (timings.prompt_ms).",
  throughput:
    "Events in the window per second: completed requests, output tokens by their arrival, prompt tokens when their first output token came.",
  goodput:
    "Requests due in the window that met all limits of the SLO, per second; attainment is their share. Failed ones meet none, cancelled ones are left out.",
  fairness:
    "Jain's index (sum x)^2 / (n sum x^2) of the tenants' token rates and of their mean TTFTs: 1 is equal.",
  stall: "Longest silence in a stream: the largest gap between two chunks of one request.",
  lag: "How late the client itself was: sent - scheduled, without the wait for --concurrency.",
} as const;

/** Latencies of one request in ms; null where undefined. */
export interface RequestMetrics {
  ttftMs: number | null;
  ttftSentMs: number | null;
  tpotMs: number | null;
  e2elMs: number;
  e2elSentMs: number;
  clientQueueMs: number;
  stallMs: number | null;
}

export function requestMetrics(record: RequestRecord): RequestMetrics {
  const { chunkMs, scheduledMs, sentMs, endMs } = record;
  const firstMs = chunkMs[0] ?? null;
  return {
    ttftMs: firstMs === null ? null : firstMs - scheduledMs,
    ttftSentMs: firstMs === null ? null : firstMs - sentMs,
    tpotMs: tpot(record),
    e2elMs: endMs - scheduledMs,
    e2elSentMs: endMs - sentMs,
    clientQueueMs: sentMs - scheduledMs,
    stallMs: longestGap(chunkMs),
  };
}

function tpot({ chunkMs, outputTokens }: RequestRecord): number | null {
  if (outputTokens < 2 || chunkMs.length < 2) return null;
  return ((chunkMs.at(-1) as number) - (chunkMs[0] as number)) / (outputTokens - 1);
}

function longestGap(chunkMs: readonly number[]): number | null {
  if (chunkMs.length < 2) return null;
  let longest = 0;
  for (let i = 1; i < chunkMs.length; i++)
    longest = Math.max(longest, (chunkMs[i] as number) - (chunkMs[i - 1] as number));
  return longest;
}

/** Visits each gap after the first chunk with the number of tokens it brought (at least 1). */
export function forEachGap(
  { chunkMs, chunkTokens }: RequestRecord,
  visit: (gapMs: number, numTokens: number) => void,
): void {
  for (let i = 1; i < chunkMs.length; i++) {
    visit((chunkMs[i] as number) - (chunkMs[i - 1] as number), Math.max(1, chunkTokens[i] as number));
  }
}

/** The request's inter-token gaps: a chunk of n tokens gives n equal gaps. */
export function interTokenGaps(record: RequestRecord): number[] {
  const gaps: number[] = [];
  forEachGap(record, (gapMs, numTokens) => {
    for (let i = 0; i < numTokens; i++) gaps.push(gapMs / numTokens);
  });
  return gaps;
}
