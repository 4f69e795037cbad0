/*
 * Compares a result of ours with one that guidellm (PyPI) wrote about the same server under the same load,
 * and keeps the record:
 *
 *   npm run bench:cross-check -- prompts --out prompts.jsonl --count 200 --words 128 --output-tokens 64
 *   guidellm run --backend kind=openai_http,target=URL,request_format=/v1/completions \
 *     --profile kind=concurrent,streams=4 --constraint kind=max_requests,count=40 \
 *     --data kind=json_file,path=prompts.jsonl --output kind=json,path=guidellm.json
 *   headway bench --url URL --api completions --workload prompts --file prompts.jsonl \
 *     --concurrency 4 --requests 40 --json ours.json
 *   npm run bench:cross-check -- compare --ours ours.json --theirs guidellm.json --out record.json
 *
 * Options of guidellm are those of 0.8; older versions name them otherwise. Each tool should run twice in
 * turn (compare takes several files of each) with its own prompts (--seed): a prompt that the other tool has
 * sent is in the server's cache. On one machine give server and tools cores of their own (taskset): guidellm
 * takes so much CPU that it slows a server which it shares them with.
 */
import { readFileSync, writeFileSync } from "node:fs";

import { Command } from "commander";

import { seededWords } from "../load/prompt-writer.ts";
import { machineFacts } from "../report/machine-facts.ts";
import type { BenchResult } from "../report/bench-result.ts";
import { readResult } from "../report/result-file.ts";

/** The largest difference between the two tools that still counts as agreement. */
const MAX_DIFFERENCE = 0.1;

interface GuidellmReport {
  metadata?: { guidellm_version?: string };
  benchmarks: { metrics: Record<string, { successful: { median: number; count: number } }> }[];
}

/** guidellm's ITL is a mean per request, from its first to its last token: our TPOT. */
const COMPARED = [
  { name: "TTFT p50", ours: "ttft_sent", theirs: "time_to_first_token_ms" },
  { name: "ITL p50 (per request)", ours: "tpot", theirs: "inter_token_latency_ms" },
] as const;

interface PromptOptions {
  out: string;
  count: string;
  words: string;
  outputTokens: string;
  seed: string;
}

function writePrompts({ out, count, words, outputTokens, seed }: PromptOptions): void {
  const lines = Array.from({ length: Number(count) }, (_, index) => {
    const prompt = seededWords(Number(seed) * 100_000 + index, Number(words));
    return JSON.stringify({
      prompt,
      max_tokens: Number(outputTokens),
      output_tokens_count: Number(outputTokens),
    });
  });
  writeFileSync(out, `${lines.join("\n")}\n`);
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Medians of several runs of each tool are averaged: run in turn, both then saw the same machine. */
function compare(options: { ours: string[]; theirs: string[]; out: string }): void {
  const ours = options.ours.map(readResult);
  const theirs = options.theirs.map((path) => JSON.parse(readFileSync(path, "utf8")) as GuidellmReport);
  const rows = COMPARED.map(({ name, ours: latency, theirs: metric }) => {
    const oursRunsMs = ours.map((result) => result.latency[latency]?.p50 ?? Number.NaN);
    const theirsRunsMs = theirs.map(
      ({ benchmarks }) => benchmarks[0]?.metrics[metric]?.successful.median ?? Number.NaN,
    );
    const [oursMs, theirsMs] = [mean(oursRunsMs), mean(theirsRunsMs)];
    const difference = oursMs / theirsMs - 1;
    const agrees = Math.abs(difference) <= MAX_DIFFERENCE;
    return { name, oursMs, theirsMs, difference, agrees, oursRunsMs, theirsRunsMs };
  });
  for (const { name, oursMs, theirsMs, difference, agrees } of rows) {
    const numbers = `${oursMs.toFixed(2)} ms, guidellm ${theirsMs.toFixed(2)} ms, ${(difference * 100).toFixed(1)} %`;
    console.log(`${agrees ? "ok  " : "FAIL"} ${name}: ${numbers}`);
  }
  const { date, server, config } = ours[0] as BenchResult;
  const guidellm = theirs[0]?.metadata?.guidellm_version ?? null;
  const record = { date, server, machine: machineFacts(), config, guidellm, rows };
  writeFileSync(options.out, `${JSON.stringify(record, null, 2)}\n`);
  process.exitCode = rows.every(({ agrees }) => agrees) ? 0 : 1;
}

const program = new Command("cross-check");
program
  .command("prompts")
  .requiredOption("--out <file>")
  .option("--count <n>", "number of prompts", "200")
  .option("--words <n>", "words in each", "128")
  .option("--output-tokens <n>", "tokens to ask for", "64")
  .option("--seed <n>", "chooses the words", "1")
  .action(writePrompts);
program
  .command("compare")
  .requiredOption("--ours <files...>", "--json results of headway bench")
  .requiredOption("--theirs <files...>", "guidellm's JSON reports")
  .requiredOption("--out <file>", "record to write")
  .action(compare);
program.parse();
