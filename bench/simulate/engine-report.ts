import { basename } from "node:path";
import type { DistributionSummary } from "../measure/distribution.ts";
import { formatMs, formatPercent, formatRate, formatTable } from "../report/format.ts";
import type { SimulateArguments } from "./arguments.ts";
import type { PolicyName } from "./policy.ts";
import type { SimulationSummary } from "./simulation-metrics.ts";

export interface PolicyResult {
  readonly policy: PolicyName;
  readonly summary: SimulationSummary;
}

/** What was simulated, in a line or two: machine, workload, scale, seed. */
export function describeScenario({ command, machine, workload, slo, noise }: SimulateArguments): string {
  const { name, trace, rate, seed, maxModelLen } = workload;
  const load =
    trace === null
      ? `${formatRate(rate)} requests/s`
      : `${basename(trace.path)}, lengths x ${trace.scaleLength}, time x ${trace.scaleTime}`;
  const limits = Object.entries(slo).map(([metric, limit]) => `${metric} <= ${limit} ms`);
  return (
    `${machine.name}: ${machine.description}\n` +
    `${name}: ${load}, sequences up to ${maxModelLen} tokens, seed ${seed}, noise ${noise}; ` +
    `good: ${limits.join(", ")}` +
    (command === "engine" ? `; smooth: good and no gap > ${machine.freezeMs} ms` : "")
  );
}

export function formatEngineReport(results: readonly PolicyResult[]): string {
  const tables = [formatTable([HEADER, ...results.map(policyRow)]), groupTable(results)];
  return tables.filter((table) => table !== "").join("\n\n");
}

const HEADER = [
  "policy",
  "TTFT p50",
  "p99",
  "ITL p50",
  "p99",
  "stall p99",
  "max",
  "good",
  "good/s",
  "smooth",
  "tok/s",
  "Jain",
  "preempted",
  "queue mean",
  "max",
  "cached",
  "busy",
  "rows",
];

function policyRow({ policy, summary }: PolicyResult): string[] {
  const { ttft, itl, stall, goodput, smooth, queue } = summary;
  return [
    policy,
    ms(ttft, "p50"),
    ms(ttft, "p99"),
    ms(itl, "p50"),
    ms(itl, "p99"),
    ms(stall, "p99"),
    ms(stall, "max"),
    formatPercent(goodput.attainment),
    formatRate(goodput.requestsPerSecond),
    formatPercent(smooth.attainment),
    formatRate(summary.outputTokensPerSecond),
    summary.jainFairness === null ? "-" : summary.jainFairness.toFixed(3),
    String(summary.numPreemptions),
    formatRate(queue.mean),
    String(queue.max),
    formatPercent(summary.cacheHitShare),
    formatPercent(summary.busyShare),
    formatRate(summary.meanDecodeRows),
  ];
}

/** Tenants or classes of requests apart; empty when there is but one. */
function groupTable(results: readonly PolicyResult[]): string {
  const rows = results.flatMap(({ policy, summary }) =>
    summary.groups.map(({ name, numRequests, ttft, stall }) => [
      `${policy}: ${name}`,
      String(numRequests),
      ms(ttft, "p50"),
      ms(ttft, "p99"),
      ms(stall, "p50"),
      ms(stall, "p99"),
    ]),
  );
  if (rows.length === 0) return "";
  return formatTable([["class", "requests", "TTFT p50", "p99", "stall p50", "p99"], ...rows]);
}

function ms(distribution: DistributionSummary | null, field: "p50" | "p99" | "max"): string {
  return distribution === null ? "-" : formatMs(distribution[field]);
}
