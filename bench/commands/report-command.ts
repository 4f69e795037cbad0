import { Command } from "commander";

import type { RequestRecord } from "../load/request.ts";

import { writeHtmlReport } from "../report/html-report.ts";
import { readResult } from "../report/result-file.ts";
import { summaryText } from "../report/summary-text.ts";
import { readLines } from "../workloads/read-lines.ts";
import { EXIT } from "./exit-codes.ts";

interface ReportOptionValues {
  json: string;
  jsonl?: string;
  html?: string;
}

export function createReportCommand(): Command {
  return new Command("report")
    .description("Prints an earlier result again, or makes the HTML report from its JSON and JSONL files.")
    .helpOption("-h, --help", "explain the options")
    .requiredOption("--json <file>", "result to read")
    .option("--jsonl <file>", "its requests, for the charts")
    .option("--html <file>", "report to write");
}

/** `headway bench report`. */
export async function reportCommand({ json, jsonl, html }: ReportOptionValues): Promise<number> {
  const result = readResult(json);
  console.log(summaryText(result));
  if (html === undefined) return EXIT.ok;
  if (jsonl === undefined) throw new RangeError("--html needs --jsonl: the charts show single requests");
  writeHtmlReport(html, result, readRecords(jsonl));
  return EXIT.ok;
}

function readRecords(path: string): RequestRecord[][] {
  const runs: RequestRecord[][] = [];
  for (const line of readLines(path)) {
    const { run, ...record } = JSON.parse(line) as RequestRecord & { run: number };
    (runs[run] ??= []).push(record);
  }
  return runs;
}
