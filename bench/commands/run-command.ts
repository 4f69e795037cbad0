import type { Command } from "commander";

import type { BenchOptionValues } from "../bench-options.ts";
import type { BenchData } from "../run-benchmark.ts";

import { baselineNotes } from "../compare/baseline-notes.ts";
import { FAIL_IF_HELP, judge, outcomeText, parseFailConditions } from "../compare/fail-condition.ts";
import { benchResult, type BenchResult } from "../report/bench-result.ts";
import { writeHtmlReport } from "../report/html-report.ts";
import { liveView } from "../report/live-view.ts";
import { readResult, writeRecords, writeResult } from "../report/result-file.ts";
import { summaryText } from "../report/summary-text.ts";
import { runBenchmark } from "../run-benchmark.ts";
import { EXIT } from "./exit-codes.ts";
import { prepareTarget, untilInterrupted } from "./prepare-target.ts";

interface RunOptionValues extends BenchOptionValues {
  json?: string;
  jsonl?: string;
  html?: string;
  detailed: boolean;
  baseline?: string;
  failIf?: string;
  strict: boolean;
}

/** Where results go and what makes the command fail. */
export function addOutputOptions(command: Command): Command {
  return command
    .optionsGroup("Output:")
    .option("--json <file>", "write the result (a superset of vLLM's bench serve fields)")
    .option("--detailed", "with --json: also vLLM's arrays of every request", false)
    .option("--jsonl <file>", "write a line of raw times for every request")
    .option("--html <file>", "write a report with charts, one file that needs nothing else")
    .optionsGroup("Checks:")
    .option("--baseline <file>", "an earlier --json result to compare with")
    .option("--fail-if <conditions>", FAIL_IF_HELP)
    .option("--strict", "exit with code 4 when the client itself was late", false);
}

/** `headway bench`: one benchmark, its report, its verdict. */
export async function runCommand(options: RunOptionValues): Promise<number> {
  const conditions = options.failIf === undefined ? [] : parseFailConditions(options.failIf);
  const baseline = options.baseline === undefined ? null : readResult(options.baseline);
  if (baseline === null && conditions.some(({ limit }) => limit.kind === "ratio"))
    throw new RangeError("--fail-if compares with an earlier result: name it with --baseline");
  const { config, server } = await prepareTarget(options);
  const date = new Date();
  const view = liveView(options);
  const data = await untilInterrupted((signal) => runBenchmark(config, view, signal));
  const result = benchResult({ config, data, server, date });
  await writeOutputs(options, data, result);
  console.log(summaryText(result));
  const notes = baseline === null ? [] : baselineNotes(result, baseline);
  if (notes.length > 0) console.log(`\n${notes.join("\n")}`);
  const outcomes = judge(conditions, result, baseline);
  if (outcomes.length > 0) console.log(`\n${outcomes.map(outcomeText).join("\n")}`);
  return exitCode(result, { hasRegression: outcomes.some(({ failed }) => failed), strict: options.strict });
}

async function writeOutputs(options: RunOptionValues, data: BenchData, result: BenchResult): Promise<void> {
  const records = data.runs.map((run) => run.records);
  if (options.json !== undefined) writeResult(options.json, result, options.detailed ? records.flat() : null);
  if (options.jsonl !== undefined) await writeRecords(options.jsonl, records);
  if (options.html !== undefined) writeHtmlReport(options.html, result, records);
}

function exitCode(
  result: BenchResult,
  { hasRegression, strict }: { hasRegression: boolean; strict: boolean },
): number {
  if (result.runs.every((run) => run.counts.completed + run.counts.slowReaders + run.counts.cancelled === 0))
    return EXIT.failed;
  if (hasRegression) return EXIT.regression;
  const isDoubtful = result.warnings.some((warning) => warning.severity === "hard");
  return strict && isDoubtful ? EXIT.clientLate : EXIT.ok;
}
