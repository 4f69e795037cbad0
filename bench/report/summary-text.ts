import type { BenchResult, RateSummary } from "./bench-result.ts";
import type { RunSummary } from "../measure/run-summary.ts";

import { PERCENTILES, type DistributionSummary, type PercentileName } from "../measure/distribution.ts";
import { LATENCY_NAMES, type LatencyName } from "../measure/latency.ts";
import { DEFINITIONS } from "../measure/request-metrics.ts";
import { formatMs, formatPercent, formatRate, formatTable } from "./format.ts";

export const LATENCY_TITLES: Record<LatencyName, string> = {
  ttft: "TTFT",
  tpot: "TPOT",
  itl: "ITL",
  icl: "ICL",
  e2el: "E2EL",
  ttft_sent: "TTFT (from sent)",
  e2el_sent: "E2EL (from sent)",
  client_queue: "client queue",
  server_queue: "server queue",
};

const OTHER_MEASURES = ["throughput", "goodput", "fairness", "stall", "lag"] as const;

/** The report printed when a benchmark ends. */
export function summaryText(result: BenchResult): string {
  return [
    heading(result),
    countsText(result),
    latencyText(result),
    intervalsText(result),
    labelText(result),
    ratesText(result),
    tenantsText(result),
    stallsText(result),
    clientText(result),
    definitionsText(result),
    warningsText(result),
  ]
    .filter((part) => part !== "")
    .join("\n\n");
}

function heading({ server, config, runs, interrupted }: BenchResult): string {
  const seconds = runs.reduce((sum, run) => sum + run.window.seconds, 0);
  const repeated = runs.length > 1 ? `, ${runs.length} runs` : "";
  const state = interrupted ? " (interrupted)" : "";
  return `${server.model} at ${server.url}, ${config.target.api}, workload ${config.workload.name}, measured ${seconds.toFixed(1)} s${repeated}${state}`;
}

function countsText({ runs, calibration }: BenchResult): string {
  const total = (key: keyof RunSummary["counts"]): number =>
    runs.reduce((sum, run) => sum + run.counts[key], 0);
  const done = Math.max(1, total("completed") + total("slowReaders"));
  const parts = [`${total("completed")} completed`, `${total("failed")} failed`];
  if (total("cancelled") > 0) parts.push(`${total("cancelled")} cancelled`);
  if (total("slowReaders") > 0) parts.push(`${total("slowReaders")} slow readers`);
  const lengths = [
    `${(total("inputTokens") / done).toFixed(1)} in`,
    `${(total("outputTokens") / done).toFixed(1)} out`,
  ];
  const cached = total("inputTokens") === 0 ? 0 : total("cachedTokens") / total("inputTokens");
  const how = calibration.isMeasured
    ? `${calibration.tokensPerWord.toFixed(3)} tokens a word`
    : "lengths not calibrated";
  return [
    `requests: ${parts.join(", ")} (of ${total("sent")} sent, warm-up included)`,
    `tokens:   ${lengths.join(", ")} a request; ${formatPercent(cached)} of the prompt from the server's cache; ${how}`,
  ].join("\n");
}

function latencyText({ latency }: BenchResult): string {
  const rows = LATENCY_NAMES.flatMap((name) => {
    const summary = latency[name];
    return summary === null ? [] : [latencyRow(LATENCY_TITLES[name], summary)];
  });
  return rows.length === 0 ? "" : formatTable([latencyHeader(), ...rows]);
}

/** A table of its own: with these columns the one above would not fit a terminal. */
function intervalsText({ latency, intervals, intervalsOver }: BenchResult): string {
  const shown = (["p50", "p90", "p99"] as const).filter((each) => intervals.e2el?.[each] !== undefined);
  const rows = LATENCY_NAMES.flatMap((name) => {
    const found = intervals[name];
    if (latency[name] === null || found === null) return [];
    return [[LATENCY_TITLES[name], ...shown.map((each) => interval(found[each]))]];
  });
  return rows.length === 0 ? "" : formatTable([[`95 % over ${intervalsOver}`, ...shown], ...rows]);
}

function latencyHeader(): string[] {
  return ["latency", "mean", ...PERCENTILES.map((percent) => `p${percent}`), "max"];
}

function latencyRow(title: string, summary: DistributionSummary): string[] {
  const percentiles = PERCENTILES.map((percent) => formatMs(summary[`p${percent}` as PercentileName]));
  return [title, formatMs(summary.mean), ...percentiles, formatMs(summary.max)];
}

function interval([low, high]: readonly [number, number]): string {
  return `${formatMs(low)} .. ${formatMs(high)}`;
}

function labelText({ latencyByLabel }: BenchResult): string {
  const rows = Object.entries(latencyByLabel).flatMap(([label, latency]) =>
    (["ttft", "itl", "e2el"] as const).flatMap((name) => {
      const summary = latency[name];
      return summary === null ? [] : [latencyRow(`${label}: ${LATENCY_TITLES[name]}`, summary)];
    }),
  );
  return rows.length === 0 ? "" : formatTable([latencyHeader(), ...rows]);
}

function ratesText({ rates, rateIntervals, config, runs }: BenchResult): string {
  const withInterval = (key: keyof RateSummary, format: (value: number) => string): string => {
    const bounds = rateIntervals[key];
    const range = bounds === undefined ? "" : `  (95 % ${format(bounds[0])} .. ${format(bounds[1])})`;
    return format(rates[key] ?? 0) + range;
  };
  const rows = [
    ["requests/s", withInterval("requestThroughput", formatRate)],
    ["output tokens/s", withInterval("outputThroughput", formatRate)],
    ["total tokens/s", withInterval("totalThroughput", formatRate)],
    [
      "peak output tokens/s",
      formatRate(Math.max(0, ...runs.map((run) => run.throughput.peakOutputTokensPerSecond))),
    ],
    ["peak in flight", String(Math.max(0, ...runs.map((run) => run.throughput.peakConcurrency)))],
  ];
  if (config.slo !== null) {
    const limits = Object.entries(config.slo).map(([metric, limit]) => `${metric} <= ${limit} ms`);
    rows.push(["goodput, requests/s", `${withInterval("goodput", formatRate)}  [${limits.join(", ")}]`]);
    rows.push(["SLO attainment", withInterval("attainment", formatPercent)]);
  }
  return rows.map(([name, value]) => `${(name as string).padEnd(22)}${value}`).join("\n");
}

/** Stalls and fairness belong to a run: of several the worst is shown. */
function worstOf(runs: readonly RunSummary[], badness: (run: RunSummary) => number): RunSummary | undefined {
  return runs.toSorted((a, b) => badness(b) - badness(a))[0];
}

function tenantsText({ runs }: BenchResult): string {
  const summary = worstOf(runs, (run) => -(run.fairness?.jainOfThroughput ?? 1))?.fairness;
  if (summary === null || summary === undefined) return "";
  const rows = summary.tenants.map(({ tenant, requests, failed, outputTokensPerSecond, ttft }) => [
    tenant,
    String(requests),
    String(failed),
    formatRate(outputTokensPerSecond),
    ttft === null ? "-" : formatMs(ttft.p50),
    ttft === null ? "-" : formatMs(ttft.p99),
  ]);
  const table = formatTable([["tenant", "requests", "failed", "out tok/s", "TTFT p50", "TTFT p99"], ...rows]);
  return `${table}\nJain's index: ${summary.jainOfThroughput.toFixed(3)} of token rates, ${summary.jainOfTtft.toFixed(3)} of mean TTFT (1 = equal)`;
}

function stallsText({ runs }: BenchResult): string {
  const worst = worstOf(runs, (run) => run.stalls.longestPerRequest?.p99 ?? 0);
  if (worst === undefined || worst.stalls.longestPerRequest === null) return "";
  const { longestPerRequest, shareOfLongGaps, duringIntruders, outsideIntruders } = worst.stalls;
  const spread = ({ p50, p99, max }: DistributionSummary): string =>
    `p50 ${formatMs(p50)}, p99 ${formatMs(p99)}, max ${formatMs(max)}`;
  const lines = [
    `stalls${runs.length > 1 ? " (worst run)" : ""}: longest silence in a stream ${spread(longestPerRequest)}`,
    `        ${formatPercent(shareOfLongGaps)} of gaps above 3 x median`,
  ];
  if (duringIntruders !== null && outsideIntruders !== null) {
    lines.push(
      `        residents' gaps while an intruder prefills: ${spread(duringIntruders)}`,
      `        residents' other gaps: ${spread(outsideIntruders)}`,
    );
  }
  return lines.join("\n");
}

function clientText({ runs }: BenchResult): string {
  const worst = (value: (run: RunSummary) => number): number => Math.max(0, ...runs.map(value));
  const lag = worst((run) => run.client.lag?.p99 ?? 0);
  return [
    `client: lag p99 ${formatMs(lag)}, event loop delay p99 ${formatMs(worst((run) => run.client.loopDelayP99Ms))},`,
    `${worst((run) => run.client.cpuCores).toFixed(2)} cores in ${worst((run) => run.client.numWorkers)} worker(s)`,
  ].join(" ");
}

function definitionsText({ latency, runs, config }: BenchResult): string {
  const latencies = LATENCY_NAMES.filter((name) => latency[name] !== null);
  const others = {
    throughput: true,
    goodput: config.slo !== null,
    fairness: runs.some(({ fairness }) => fairness !== null),
    stall: latency.icl !== null,
    lag: true,
  };
  const shown = OTHER_MEASURES.filter((name) => others[name]);
  return [
    ...latencies.map((name) => `${LATENCY_TITLES[name].padEnd(17)}${DEFINITIONS[name]}`),
    ...shown.map((name) => `${name.padEnd(17)}${DEFINITIONS[name]}`),
  ].join("\n");
}

function warningsText({ warnings }: BenchResult): string {
  const hard = warnings
    .filter((warning) => warning.severity === "hard")
    .map(({ text }) => `WARNING: ${text}`);
  const notes = warnings.filter((warning) => warning.severity === "note").map(({ text }) => `note: ${text}`);
  return [...hard, ...notes].join("\n");
}
