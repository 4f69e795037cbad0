import { writeFileSync } from "node:fs";

import type { RequestRecord } from "../load/request.ts";
import type { BenchResult } from "./bench-result.ts";

import { PERCENTILES, type DistributionSummary, type PercentileName } from "../measure/distribution.ts";
import { LATENCY_NAMES, latencyDistributions } from "../measure/latency.ts";
import { DEFINITIONS } from "../measure/request-metrics.ts";
import { measuredRecords, type RunSummary } from "../measure/run-summary.ts";
import { timeSeries } from "../measure/time-series.ts";
import { formatMs, formatPercent, formatRate } from "./format.ts";
import { escapeHtml, htmlPage, htmlTable } from "./html-page.ts";

const MAX_STREAMS = 300;
const MAX_TICKS_PER_STREAM = 400;
const CDF_NAMES = ["ttft", "tpot", "itl", "e2el"] as const;

/** Writes one self-contained HTML file. The charts show the first of the runs in `records`; tables pool all. */
export function writeHtmlReport(
  path: string,
  result: BenchResult,
  records: readonly (readonly RequestRecord[])[],
): void {
  const first = records[0] ?? [];
  const window = (result.runs[0] as RunSummary).window;
  const measured = latencyDistributions(measuredRecords(first, window));
  const data = {
    kind: "run",
    window,
    series: timeSeries(first),
    cdfs: CDF_NAMES.map((name) => ({ name: name.toUpperCase(), points: measured[name].cdf() })),
    streams: streams(first),
  };
  const title = `${result.server.model}: ${result.config.workload.name}, ${loadText(result)}`;
  writeFileSync(path, htmlPage({ title, body: body(result), data }));
}

/** A timeline row: [scheduled, sent, first token, end, outcome, label, chunk times], whole milliseconds. */
function streams(records: readonly RequestRecord[]): unknown[] {
  return records.slice(0, MAX_STREAMS).map(({ scheduledMs, sentMs, chunkMs, endMs, outcome, label }) => {
    const step = Math.ceil(chunkMs.length / MAX_TICKS_PER_STREAM);
    const ticks = chunkMs.filter((_, index) => index % Math.max(1, step) === 0);
    const first = chunkMs[0];
    return [scheduledMs, sentMs, first ?? null, endMs, outcome, label, ticks].map(roundTimes);
  });
}

function roundTimes(value: unknown): unknown {
  if (typeof value === "number") return Math.round(value);
  return Array.isArray(value) ? value.map(roundTimes) : value;
}

function loadText({ config: { load, workload } }: BenchResult): string {
  if (workload.useTraceTimes)
    return `recorded arrivals, times x ${workload.scaleTime}, lengths x ${workload.scaleLength}`;
  if (load.shape === null) return `${load.concurrency} clients in a closed loop`;
  if (load.shape.kind === "steady") return `${load.shape.rate} requests/s`;
  return `load shape ${load.shape.kind}`;
}

function body(result: BenchResult): string {
  return [warnings(result), tiles(result), latencyTable(result), labelTables(result), details(result)].join(
    "\n",
  );
}

function warnings({ warnings: all }: BenchResult): string {
  return all.map(({ severity, text }) => `<p class="${severity}">${escapeHtml(text)}</p>`).join("\n");
}

function tiles({ rates, latency, runs }: BenchResult): string {
  const total = (key: "completed" | "failed"): number => runs.reduce((sum, run) => sum + run.counts[key], 0);
  const shown: [string, string][] = [
    ["completed", `${total("completed")}`],
    ["failed", `${total("failed")}`],
    ["requests/s", formatRate(rates.requestThroughput)],
    ["output tokens/s", formatRate(rates.outputThroughput)],
    ["TTFT p50 / p99", pair(latency.ttft)],
    ["ITL p50 / p99", pair(latency.itl)],
  ];
  if (rates.attainment !== null) shown.push(["SLO attainment", formatPercent(rates.attainment)]);
  const tile = ([name, value]: [string, string]): string =>
    `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd></div>`;
  return `<dl class="tiles">${shown.map(tile).join("")}</dl>`;
}

function pair(summary: DistributionSummary | null): string {
  return summary === null ? "-" : `${formatMs(summary.p50)} / ${formatMs(summary.p99)}`;
}

function latencyTable({ latency }: BenchResult): string {
  return `<h2>Latency</h2>\n${distributionTable(latency)}`;
}

function distributionTable(latency: BenchResult["latency"]): string {
  const header = ["", "count", "mean", ...PERCENTILES.map((percent) => `p${percent}`), "max"];
  const rows = LATENCY_NAMES.flatMap((name) => {
    const summary = latency[name];
    if (summary === null) return [];
    const percentiles = PERCENTILES.map((percent) => formatMs(summary[`p${percent}` as PercentileName]));
    return [
      [
        name.toUpperCase().replaceAll("_", " "),
        String(summary.count),
        formatMs(summary.mean),
        ...percentiles,
        formatMs(summary.max),
      ],
    ];
  });
  return htmlTable([header, ...rows]);
}

function labelTables({ latencyByLabel }: BenchResult): string {
  return Object.entries(latencyByLabel)
    .map(([label, latency]) => `<h3>${escapeHtml(label)}</h3>\n${distributionTable(latency)}`)
    .join("\n");
}

/** Definitions, configuration and machine: folded away, but in the file. */
function details({ config, machine, server, date }: BenchResult): string {
  const definitions = Object.entries(DEFINITIONS).map(
    ([name, text]) =>
      `<dt>${escapeHtml(name.toUpperCase().replaceAll("_", " "))}</dt><dd>${escapeHtml(text)}</dd>`,
  );
  const facts = { date, server, machine, config };
  return `<details><summary>What the words mean</summary><dl>${definitions.join("")}</dl></details>
<details><summary>Machine, server and options</summary><pre>${escapeHtml(JSON.stringify(facts, null, 2))}</pre></details>`;
}
