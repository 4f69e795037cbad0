import type { BenchConfig } from "../bench-config.ts";
import type { RequestRecord } from "../load/request.ts";
import type { RunSummary } from "./run-summary.ts";

/** Something a reader must know before believing the numbers; 'hard' ones make the run doubtful. */
export interface ResultWarning {
  severity: "hard" | "note";
  text: string;
}

const MAX_WORKER_SHARE = 0.8;
const MAX_LENGTH_ERROR = 0.05;
const MIN_TAIL_SAMPLES = 10;

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

/** All warnings of the runs, each at most once. */
export function resultWarnings(
  config: BenchConfig,
  summaries: readonly RunSummary[],
  records: readonly RequestRecord[],
): ResultWarning[] {
  const found = [
    ...summaries.flatMap((summary) => runWarnings(config, summary)),
    ...lengthWarnings(records),
    ...tokenCountWarnings(records),
    ...summaries.slice(0, 1).flatMap(sampleWarnings),
    ...closedLoopNote(config),
  ];
  return found.filter((warning, index) => found.findIndex((other) => other.text === warning.text) === index);
}

/** What makes one run doubtful by itself, for commands that make many short ones. */
export function runWarnings(config: BenchConfig, summary: RunSummary): ResultWarning[] {
  return [...clientWarnings(config, summary), ...outcomeWarnings(summary)];
}

function clientWarnings(config: BenchConfig, { client }: RunSummary): ResultWarning[] {
  const warnings: ResultWarning[] = [];
  const lagMs = client.lag?.p99 ?? 0;
  if (lagMs > config.maxLagMs) {
    warnings.push({
      severity: "hard",
      text: `the client was late: 1 % of the requests went out ${lagMs.toFixed(1)} ms or more after their time (limit ${config.maxLagMs} ms). Latencies count from the scheduled time and contain this; use more --workers or another machine for the client.`,
    });
  }
  if (client.busiestWorkerShare > MAX_WORKER_SHARE) {
    warnings.push({
      severity: "hard",
      text: `a load worker used ${percent(client.busiestWorkerShare)} of a core: arrival times of tokens may be its own delays. Use more --workers.`,
    });
  }
  if (client.loopDelayP99Ms > config.maxLagMs * 2) {
    warnings.push({
      severity: "hard",
      text: `a load worker's event loop was held up for ${client.loopDelayP99Ms.toFixed(1)} ms (p99): the machine is too busy for these numbers.`,
    });
  }
  return warnings;
}

function outcomeWarnings({ counts, errors, errorExamples }: RunSummary): ResultWarning[] {
  if (counts.failed === 0) return [];
  const kinds = Object.entries(errors).map(([kind, count]) => `${count} ${kind}: ${errorExamples[kind]}`);
  return [
    {
      severity: counts.completed === 0 || errors["unfinished"] !== undefined ? "hard" : "note",
      text: `${counts.failed} of ${counts.due} requests failed (${kinds.join("; ")}); latencies hold only the others.`,
    },
  ];
}

function lengthWarnings(records: readonly RequestRecord[]): ResultWarning[] {
  const done = records.filter((record) => record.outcome === "ok");
  const sized = done.filter(
    (record) => record.requestedInputTokens !== null && record.promptTokens !== null && record.turn === 0,
  );
  const mean = (list: readonly RequestRecord[], value: (record: RequestRecord) => number): number =>
    list.reduce((sum, record) => sum + value(record), 0) / list.length;
  const warnings: ResultWarning[] = [];
  const wantedIn = mean(sized, (record) => record.requestedInputTokens ?? 0);
  const gotIn = mean(sized, (record) => record.promptTokens ?? 0);
  if (Math.abs(gotIn - wantedIn) > wantedIn * MAX_LENGTH_ERROR) {
    warnings.push({
      severity: "note",
      text: `prompts had ${gotIn.toFixed(1)} tokens on average, ${wantedIn.toFixed(1)} were wanted.`,
    });
  }
  const streamed = done.filter((record) => record.chunkMs.length > 0);
  const wantedOut = mean(streamed, (record) => record.maxTokens);
  const gotOut = mean(streamed, (record) => record.outputTokens);
  if (wantedOut - gotOut > wantedOut * MAX_LENGTH_ERROR) {
    warnings.push({
      severity: "note",
      text: `outputs had ${gotOut.toFixed(1)} tokens on average of ${wantedOut.toFixed(1)} allowed: the model stopped early (does the server know ignore_eos?).`,
    });
  }
  return warnings;
}

/** Without a running count a chunk is taken for a token; say so where usage knows better. */
function tokenCountWarnings(records: readonly RequestRecord[]): ResultWarning[] {
  const guessed = records.filter(
    ({ outcome, tokenCountSource }) => outcome === "ok" && tokenCountSource === "usage",
  );
  const wrong = guessed.filter(({ outputTokens, chunkMs }) => Math.abs(outputTokens - chunkMs.length) > 1);
  if (wrong.length === 0) return [];
  return [
    {
      severity: "note",
      text: `${wrong.length} streams had other numbers of chunks than of tokens and the server sent no running count: their ITL is a gap between chunks (TPOT is exact).`,
    },
  ];
}

function sampleWarnings({ latency }: RunSummary): ResultWarning[] {
  const numRequests = latency.e2el?.count ?? 0;
  if (numRequests === 0 || numRequests * 0.01 >= MIN_TAIL_SAMPLES) return [];
  return [
    {
      severity: "note",
      text: `${numRequests} requests: their p99 rests on ${Math.max(1, Math.round(numRequests * 0.01))} of them, p99.9 is about the maximum.`,
    },
  ];
}

function closedLoopNote({ load, workload }: BenchConfig): ResultWarning[] {
  if (load.shape !== null || workload.useTraceTimes) return [];
  return [
    {
      severity: "note",
      text: "closed loop: clients wait for a slow server before they send again, so it sees less load when it is slow. For latency under a given load use --rate.",
    },
  ];
}
