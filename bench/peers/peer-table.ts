import type { BenchResult } from "../report/bench-result.ts";

import { formatMs, formatRate } from "../report/format.ts";

export interface PeerResults {
  peer: string;
  version: string;
  /** By workload. */
  results: Record<string, BenchResult>;
}

const HEADER = [
  "workload",
  "server",
  "output tok/s",
  "TTFT p50",
  "TTFT p99",
  "ITL p50",
  "ITL p99",
  "longest stall",
  "failed",
];

/** A Markdown table of all servers under all workloads, good or bad. */
export function peerTable(peers: readonly PeerResults[]): string {
  const workloads = [...new Set(peers.flatMap(({ results }) => Object.keys(results)))];
  const rows = workloads.flatMap((workload) =>
    peers.flatMap(({ peer, results }) => {
      const result = results[workload];
      return result === undefined ? [] : [[workload, peer, ...cells(result)]];
    }),
  );
  const versions = peers.map(({ peer, version }) => `${peer}: ${version}`).join("; ");
  const line = (row: readonly string[]): string => `| ${row.join(" | ")} |`;
  return [line(HEADER), line(HEADER.map(() => "---")), ...rows.map(line), "", `Versions: ${versions}`].join(
    "\n",
  );
}

function cells({ rates, rateIntervals, latency, runs }: BenchResult): string[] {
  const bounds = rateIntervals.outputThroughput;
  const range = bounds === undefined ? "" : ` (${formatRate(bounds[0])}-${formatRate(bounds[1])})`;
  const stall = Math.max(0, ...runs.map((run) => run.stalls.longestPerRequest?.max ?? 0));
  const failed = runs.reduce((sum, run) => sum + run.counts.failed, 0);
  const times = [latency.ttft?.p50, latency.ttft?.p99, latency.itl?.p50, latency.itl?.p99, stall];
  return [
    formatRate(rates.outputThroughput) + range,
    ...times.map((valueMs) => formatMs(valueMs ?? Number.NaN)),
    String(failed),
  ];
}
