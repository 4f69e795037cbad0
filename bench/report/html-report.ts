import { writeFileSync } from "node:fs";

import type { RequestRecord } from "../load/request.ts";
import type { BenchResult } from "./bench-result.ts";

import type { DistributionSummary } from "../measure/distribution.ts";
import { latencyDistributions } from "../measure/latency.ts";
import { measuredRecords, type RunSummary } from "../measure/run-summary.ts";
import { timeSeries } from "../measure/time-series.ts";
import { formatMs, formatPercent, formatRate } from "./format.ts";
import { escapeHtml, htmlPage } from "./html-page.ts";
import { details, furtherTables, latencyTable } from "./html-tables.ts";
import { inLanes } from "./lanes.ts";

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
    numStreams: first.length,
  };
  const title = `${result.server.model}: ${result.config.workload.name}, ${loadText(result)}`;
  writeFileSync(path, htmlPage({ title, lead: lead(result), tail: tail(result), data }));
}

/** A stream of the timeline: [lane, scheduled, sent, first token, end, outcome, chunk times], whole milliseconds. */
function streams(records: readonly RequestRecord[]): unknown[] {
  const shown = records.toSorted((a, b) => a.scheduledMs - b.scheduledMs).slice(0, MAX_STREAMS);
  const lanes = inLanes(shown.map(({ scheduledMs, endMs }) => [scheduledMs, endMs]));
  return shown.map(({ scheduledMs, sentMs, chunkMs, endMs, outcome }, index) => {
    const step = Math.ceil(chunkMs.length / MAX_TICKS_PER_STREAM);
    const ticks = chunkMs.filter((_, position) => position % Math.max(1, step) === 0);
    const first = chunkMs[0] ?? null;
    return [lanes[index], scheduledMs, sentMs, first, endMs, outcome, ticks].map(roundTimes);
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

function lead(result: BenchResult): string {
  return [facts(result), warnings(result), tiles(result), latencyTable(result)].join("\n");
}

function tail(result: BenchResult): string {
  return [furtherTables(result), details(result)].join("\n");
}

function facts({ server, machine, date, config, runs }: BenchResult): string {
  const seconds = runs.reduce((sum, run) => sum + run.window.seconds, 0);
  const parts = [
    `${server.url}${server.version === null ? "" : ` (version ${server.version})`}`,
    `${config.target.api} endpoint`,
    `measured ${seconds.toFixed(1)} s${runs.length > 1 ? ` in ${runs.length} runs; charts show the first` : ""}`,
    `${machine.cpu}, ${machine.cores} cores`,
    date.slice(0, 16).replace("T", " "),
  ];
  return `<p class="facts">${escapeHtml(parts.join(" · "))}</p>`;
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
