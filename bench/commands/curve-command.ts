import { Command, InvalidArgumentError } from "commander";

import type { BenchConfig } from "../bench-config.ts";
import type { BenchOptionValues } from "../bench-options.ts";
import type { RunSummary } from "../measure/run-summary.ts";

import { addBenchOptions } from "../bench-options.ts";
import { summarizeRun } from "../measure/run-summary.ts";
import { windowOptions, withoutSecrets } from "../report/bench-result.ts";
import { writeCurveReport } from "../report/curve-report.ts";
import { formatMs, formatPercent, formatRate, formatTable } from "../report/format.ts";
import { liveView } from "../report/live-view.ts";
import { machineFacts } from "../report/machine-facts.ts";
import { writeJson } from "../report/result-file.ts";
import { warningLines } from "../report/warning-lines.ts";
import { calibrationOf, runOnce } from "../run-benchmark.ts";
import { EXIT } from "./exit-codes.ts";
import { prepareTarget } from "./prepare-target.ts";

interface CurveOptionValues extends BenchOptionValues {
  rates?: number[];
  clients?: number[];
  json?: string;
  html?: string;
}

/** One load level and what it gave. */
export interface CurvePoint {
  level: number;
  unit: "requests/s" | "clients";
  summary: RunSummary;
}

const DEFAULT_LEVEL_SECONDS = 30;
const DEFAULT_CLIENTS = [1, 2, 4, 8, 16];

const numbers = (text: string): number[] => {
  const values = text.split(",").map(Number);
  if (!values.every((value) => value > 0))
    throw new InvalidArgumentError("numbers above 0 with commas are expected.");
  return values;
};

export function createCurveCommand(): Command {
  const command = new Command("curve")
    .description(
      "Measures latency against throughput at several loads (--duration is the length of each, 30 s).",
    )
    .helpOption("-h, --help", "explain the options");
  return addBenchOptions(command)
    .optionsGroup("Curve:")
    .option("--rates <list>", "open loop at these rates, such as 1,2,4,8", numbers)
    .option("--clients <list>", "closed loop with these numbers of clients (default: 1,2,4,8,16)", numbers)
    .option("--json <file>", "write all points")
    .option("--html <file>", "write a report with the curve");
}

/** `headway bench curve`: the saturation curve. */
export async function curveCommand(options: CurveOptionValues): Promise<number> {
  const { config, server } = await prepareTarget({
    ...options,
    duration: options.duration ?? DEFAULT_LEVEL_SECONDS,
  });
  const calibration = await calibrationOf(config);
  const levels = options.rates ?? options.clients ?? DEFAULT_CLIENTS;
  const unit = options.rates === undefined ? "clients" : "requests/s";
  const points: CurvePoint[] = [];
  for (const [index, level] of levels.entries()) {
    const leveled = levelConfig(config, level, unit);
    const data = await runOnce(leveled, {
      runIndex: index,
      calibration,
      observer: liveView(options),
    });
    points.push({ level, unit, summary: summarizeRun(data, windowOptions(leveled), leveled.slo) });
  }
  console.log(curveText(points));
  for (const { level, summary } of points)
    warningLines(config, summary).forEach((line) => console.log(`${level} ${unit}: ${line}`));
  if (options.json !== undefined)
    writeJson(options.json, { server, machine: machineFacts(), config: withoutSecrets(config), points });
  if (options.html !== undefined) writeCurveReport(options.html, `${server.model} at ${server.url}`, points);
  return points.some(({ summary }) => summary.counts.completed > 0) ? EXIT.ok : EXIT.failed;
}

function levelConfig(config: BenchConfig, level: number, unit: CurvePoint["unit"]): BenchConfig {
  const load = { ...config.load, maxRequests: null };
  const workload = { ...config.workload, useTraceTimes: false };
  if (unit === "clients") return { ...config, workload, load: { ...load, shape: null, concurrency: level } };
  return { ...config, workload, load: { ...load, shape: { kind: "steady", rate: level } } };
}

function curveText(points: readonly CurvePoint[]): string {
  const rows = points.map(({ level, summary: { throughput, latency, goodput } }) => [
    String(level),
    formatRate(throughput.requestsPerSecond),
    formatRate(throughput.outputTokensPerSecond),
    ...(["ttft", "itl", "e2el"] as const).flatMap((name) => {
      const summary = latency[name];
      return summary === null ? ["-", "-"] : [formatMs(summary.p50), formatMs(summary.p99)];
    }),
    goodput === null ? "-" : formatPercent(goodput.attainment),
  ]);
  const header = [
    "requests/s",
    "out tok/s",
    "TTFT p50",
    "p99",
    "ITL p50",
    "p99",
    "E2EL p50",
    "p99",
    "SLO met",
  ];
  return formatTable([[points[0]?.unit ?? "load", ...header], ...rows]);
}
