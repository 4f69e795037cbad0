import { writeFileSync } from "node:fs";

import type { RunSummary } from "../measure/run-summary.ts";

import { formatMs, formatRate } from "./format.ts";
import { htmlPage, htmlTable } from "./html-page.ts";

export interface CurveReportPoint {
  level: number;
  unit: string;
  summary: RunSummary;
}

/** Writes latency against throughput as one self-contained HTML file. */
export function writeCurveReport(path: string, title: string, points: readonly CurveReportPoint[]): void {
  const latency = (name: "ttft" | "itl", percentile: "p50" | "p99"): (number | null)[] =>
    points.map(({ summary }) => summary.latency[name]?.[percentile] ?? null);
  const data = {
    kind: "curve",
    levels: points.map(({ level }) => level),
    unit: points[0]?.unit ?? "",
    outputTokensPerSecond: points.map(({ summary }) => summary.throughput.outputTokensPerSecond),
    ttftP50: latency("ttft", "p50"),
    ttftP99: latency("ttft", "p99"),
    itlP50: latency("itl", "p50"),
    itlP99: latency("itl", "p99"),
  };
  const rows = points.map(({ level, summary: { throughput, latency: found } }) => [
    String(level),
    formatRate(throughput.requestsPerSecond),
    formatRate(throughput.outputTokensPerSecond),
    ...[found.ttft?.p50, found.ttft?.p99, found.itl?.p50, found.itl?.p99].map((each) =>
      formatMs(each ?? Number.NaN),
    ),
  ]);
  const header = [
    points[0]?.unit ?? "",
    "requests/s",
    "output tokens/s",
    "TTFT p50",
    "TTFT p99",
    "ITL p50",
    "ITL p99",
  ];
  writeFileSync(path, htmlPage({ title, lead: htmlTable([header, ...rows]), data }));
}
