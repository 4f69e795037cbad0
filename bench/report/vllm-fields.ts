import type { RequestRecord } from "../load/request.ts";
import type { BenchResult } from "./bench-result.ts";

import { interTokenGaps, requestMetrics, type RequestMetrics } from "../measure/request-metrics.ts";
import { PERCENTILES, type DistributionSummary, type PercentileName } from "../measure/distribution.ts";

/** vLLM's names of the latencies and where they are here: its own all start when the request is sent. */
const LATENCIES = {
  ttft: "ttft_sent",
  tpot: "tpot",
  itl: "itl",
  e2el: "e2el_sent",
  client_queue_time: "client_queue",
  e2el_including_client_queue: "e2el",
} as const;

/**
 * The flat fields of vLLM's `bench serve` result file (vllm/benchmarks/serve.py), so that its readers
 * work here too. As there, `ttft` and `e2el` start at the sending; ours from the scheduled time are
 * under `latency`.
 */
export function vllmFields({
  config,
  server,
  runs,
  rates,
  latency,
  date,
}: BenchResult): Record<string, unknown> {
  const total = (value: (run: BenchResult["runs"][number]) => number): number =>
    runs.reduce((sum, run) => sum + value(run), 0);
  return {
    date,
    backend: config.target.api === "completions" ? "openai" : `openai-${config.target.api}`,
    endpoint_type: config.target.api,
    model_id: server.model,
    tokenizer_id: null,
    num_prompts: total((run) => run.counts.due),
    request_rate: config.load.shape?.kind === "steady" ? config.load.shape.rate : "inf",
    burstiness: config.load.burstiness,
    max_concurrency: config.load.concurrency,
    duration: total((run) => run.window.seconds),
    completed: total((run) => run.counts.completed),
    failed: total((run) => run.counts.failed),
    total_input_tokens: total((run) => run.counts.inputTokens),
    total_output_tokens: total((run) => run.counts.outputTokens),
    request_throughput: rates.requestThroughput,
    request_goodput: rates.goodput,
    output_throughput: rates.outputThroughput,
    total_token_throughput: rates.totalThroughput,
    max_output_tokens_per_s: Math.max(0, ...runs.map((run) => run.throughput.peakOutputTokensPerSecond)),
    max_concurrent_requests: Math.max(0, ...runs.map((run) => run.throughput.peakConcurrency)),
    ...Object.assign({}, ...Object.entries(LATENCIES).map(([name, ours]) => statistics(name, latency[ours]))),
  };
}

function statistics(name: string, summary: DistributionSummary | null): Record<string, number> {
  if (summary === null) return {};
  const fields: Record<string, number> = {
    [`mean_${name}_ms`]: summary.mean,
    [`median_${name}_ms`]: summary.p50,
    [`std_${name}_ms`]: summary.std,
    [`max_${name}_ms`]: summary.max,
  };
  for (const percent of PERCENTILES)
    fields[`p${percent}_${name}_ms`] = summary[`p${percent}` as PercentileName];
  return fields;
}

/**
 * vLLM's per-request arrays (seconds), written with `--detailed`. As there, all are as long as the list of
 * requests; one that failed has zeros and an empty text.
 */
export function vllmDetails(records: readonly RequestRecord[]): Record<string, unknown> {
  const isDone = ({ outcome }: RequestRecord): boolean => outcome === "ok";
  const seconds = (value: (metrics: RequestMetrics) => number | null): number[] =>
    records.map((record) => (isDone(record) ? (value(requestMetrics(record)) ?? 0) / 1000 : 0));
  return {
    input_lens: records.map(
      ({ promptTokens, requestedInputTokens }) => promptTokens ?? requestedInputTokens ?? 0,
    ),
    output_lens: records.map((record) => (isDone(record) ? record.outputTokens : 0)),
    ttfts: seconds(({ ttftSentMs }) => ttftSentMs),
    itls: records.map((record) =>
      isDone(record) ? interTokenGaps(record).map((gapMs) => gapMs / 1000) : [],
    ),
    latencies: seconds(({ e2elSentMs }) => e2elSentMs),
    start_times: records.map(({ sentMs }) => sentMs / 1000),
    queue_times: seconds(({ clientQueueMs }) => clientQueueMs),
    generated_texts: records.map(({ text }) => text ?? ""),
    errors: records.map(({ errorMessage }) => errorMessage ?? ""),
  };
}
