import type { RunSummary } from "../measure/run-summary.ts";
import type { BenchResult } from "./bench-result.ts";

import { PERCENTILES, type DistributionSummary, type PercentileName } from "../measure/distribution.ts";
import { LATENCY_NAMES } from "../measure/latency.ts";
import { DEFINITIONS } from "../measure/request-metrics.ts";
import { formatMs, formatPercent, formatRate } from "./format.ts";
import { escapeHtml, htmlTable } from "./html-page.ts";
import { LATENCY_TITLES } from "./summary-text.ts";

type Rows = readonly (readonly string[])[];

function section(title: string, rows: Rows): string {
  return rows.length < 2 ? "" : `<h2>${escapeHtml(title)}</h2>\n${htmlTable(rows)}`;
}

/** All latencies, with the 95 % interval of the 99th percentile. */
export function latencyTable({ latency, intervals, intervalsOver }: BenchResult): string {
  const bounds = (name: (typeof LATENCY_NAMES)[number]): string => {
    const p99 = intervals[name]?.p99;
    return p99 === undefined ? "-" : `${formatMs(p99[0])} .. ${formatMs(p99[1])}`;
  };
  return section("Latency", distributionRows(latency, { title: `p99, 95 % over ${intervalsOver}`, bounds }));
}

interface LastColumn {
  title: string;
  bounds: (name: (typeof LATENCY_NAMES)[number]) => string;
}

function distributionRows(latency: BenchResult["latency"], last?: LastColumn): Rows {
  const percentiles = PERCENTILES.map((percent) => `p${percent}` as PercentileName);
  const rows = LATENCY_NAMES.flatMap((name) => {
    const summary = latency[name];
    if (summary === null) return [];
    const values = [summary.mean, ...percentiles.map((each) => summary[each]), summary.max].map(formatMs);
    return [[LATENCY_TITLES[name], String(summary.count), ...values, ...(last ? [last.bounds(name)] : [])]];
  });
  return [["", "count", "mean", ...percentiles, "max", ...(last ? [last.title] : [])], ...rows];
}

/** What stands below the charts: classes of requests, tenants, stalls, errors, single runs, the client. */
export function furtherTables(result: BenchResult): string {
  const { runs, latencyByLabel } = result;
  return [
    ...Object.entries(latencyByLabel).map(([label, latency]) => section(label, distributionRows(latency))),
    section("Tenants (first run)", tenantRows(runs)),
    section("Longest silences", stallRows(runs)),
    section("Errors", errorRows(runs)),
    section("Runs", runs.length < 2 ? [] : runRows(runs)),
    section("The client itself", clientRows(runs)),
  ].join("\n");
}

function tenantRows([first]: readonly RunSummary[]): Rows {
  const fairness = first?.fairness;
  if (fairness === null || fairness === undefined) return [];
  const rows = fairness.tenants.map(({ tenant, requests, failed, outputTokensPerSecond, ttft }) => [
    tenant,
    String(requests),
    String(failed),
    formatRate(outputTokensPerSecond),
    ...times(ttft, ["p50", "p99"]),
  ]);
  const jain = [
    "Jain's index",
    "",
    "",
    fairness.jainOfThroughput.toFixed(3),
    `${fairness.jainOfTtft.toFixed(3)} (means)`,
    "",
  ];
  return [["tenant", "requests", "failed", "output tokens/s", "TTFT p50", "TTFT p99"], ...rows, jain];
}

function stallRows(runs: readonly RunSummary[]): Rows {
  const rows = runs.flatMap(({ stalls }, run) => {
    const kinds = {
      "longest gap of each stream": stalls.longestPerRequest,
      "gaps while an intruder's prompt is read": stalls.duringIntruders,
      "other gaps": stalls.outsideIntruders,
    };
    const name = (kind: string): string => (runs.length > 1 ? `run ${run + 1}: ${kind}` : kind);
    return Object.entries(kinds).flatMap(([kind, summary]) =>
      summary === null ? [] : [[name(kind), ...times(summary, ["p50", "p99", "max"])]],
    );
  });
  return [["", "p50", "p99", "max"], ...rows];
}

function errorRows(runs: readonly RunSummary[]): Rows {
  const rows = runs.flatMap(({ errors, errorExamples }) =>
    Object.entries(errors).map(([kind, count]) => [kind, String(count), errorExamples[kind] ?? ""]),
  );
  return [["kind", "count", "the first said"], ...rows];
}

function runRows(runs: readonly RunSummary[]): Rows {
  const rows = runs.map(({ counts, throughput, latency }, run) => [
    String(run + 1),
    String(counts.completed),
    String(counts.failed),
    formatRate(throughput.requestsPerSecond),
    formatRate(throughput.outputTokensPerSecond),
    ...times(latency.ttft, ["p50", "p99"]),
    ...times(latency.itl, ["p50", "p99"]),
  ]);
  const latencies = ["TTFT p50", "TTFT p99", "ITL p50", "ITL p99"];
  return [["run", "completed", "failed", "requests/s", "output tokens/s", ...latencies], ...rows];
}

function clientRows(runs: readonly RunSummary[]): Rows {
  const rows = runs.map(({ client }, run) => [
    String(run + 1),
    ...times(client.lag, ["p50", "p99", "max"]),
    formatMs(client.loopDelayP99Ms),
    client.cpuCores.toFixed(2),
    formatPercent(client.busiestWorkerShare),
    String(client.numWorkers),
  ]);
  const usage = ["event loop p99", "CPU, cores", "busiest worker", "workers"];
  return [["run", "lag p50", "lag p99", "lag max", ...usage], ...rows];
}

function times(
  summary: DistributionSummary | null,
  statistics: readonly (PercentileName | "max")[],
): string[] {
  return statistics.map((each) => (summary === null ? "-" : formatMs(summary[each])));
}

/** Definitions, configuration and machine: folded away, but in the file. */
export function details({ config, machine, server, date }: BenchResult): string {
  const titles: Record<string, string> = LATENCY_TITLES;
  const definitions = Object.entries(DEFINITIONS).map(
    ([name, text]) => `<dt>${escapeHtml(titles[name] ?? name)}</dt><dd>${escapeHtml(text)}</dd>`,
  );
  const facts = { date, server, machine, config };
  return `<details><summary>What the words mean</summary><dl>${definitions.join("")}</dl></details>
<details><summary>Machine, server and options</summary><pre>${escapeHtml(JSON.stringify(facts, null, 2))}</pre></details>`;
}
