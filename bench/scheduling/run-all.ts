/*
 * All benchmarks of this folder in turn, each in a process of its own, with their results and a table of the goals.
 * Run: npm run bench:all -- --model FILE [--llama-server FILE] [--out FOLDER]
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { Command } from "commander";

import { EXIT } from "../commands/exit-codes.ts";
import { defaultResultsFolder } from "./results-folder.ts";
import { resultsTable } from "./results-table.ts";
import type { ScenarioResult } from "./scenario.ts";

/** Compiled entries by name, and flags of their own. */
const SCENARIOS = {
  "victim-intruder": ["victim-intruder.js"],
  "victim-intruder-random-weights": ["victim-intruder.js", "--random-weights"],
  "shared-prefix": ["shared-prefix.js"],
  "memory-pressure": ["memory-pressure.js"],
  "memory-pressure-deterministic": ["memory-pressure.js", "--server-option=--deterministic"],
  contention: ["contention.js"],
  fairness: ["fairness.js"],
  "first-come": ["first-come.js"],
  churn: ["churn.js"],
  throughput: ["../engine/throughput.js"],
  "schedule-cost": ["../engine/schedule.js"],
  layouts: ["../engine/layouts.js"],
} as const satisfies Record<string, readonly [string, ...string[]]>;

type ScenarioName = keyof typeof SCENARIOS;

const NAMES = Object.keys(SCENARIOS) as ScenarioName[];

interface FlagValues {
  readonly out?: string;
  readonly only?: string;
}

const command = new Command("run-all")
  .description("Runs the benchmarks of the scheduler; other options are passed on to each of them.")
  .option(
    "--out <folder>",
    "where results go (default: bench/results/scheduling; with --quick or without --model bench/results/trial)",
  )
  .option(
    "--only <list>",
    "some of them, with commas; with none, only the table is made again from the results there",
  )
  .allowUnknownOption()
  .allowExcessArguments();

async function main(): Promise<number> {
  const { out: givenOut, only } = command.parse().opts<FlagValues>();
  const wanted = only?.split(",");
  const names = NAMES.filter((name) => wanted === undefined || wanted.includes(name));
  // Where nothing runs nothing can be overwritten, and the table wanted is that of the kept results.
  const out = givenOut ?? defaultResultsFolder(names.length === 0 ? null : command.args);
  mkdirSync(out, { recursive: true });
  for (const name of names) {
    const json = join(out, `${name}.json`);
    // A benchmark that breaks down must not leave an older result in its place.
    rmSync(json, { force: true });
    await runOne(name, [...command.args, "--json", json]);
    writeTable(out);
  }
  const results = writeTable(out);
  console.log(`\n${resultsTable(results)}`);
  const isComplete = names.every((name) => results.some((result) => result.name === name));
  if (!isComplete) return EXIT.failed;
  return results.some(({ goals }) => goals.some(({ isMet }) => isMet === false)) ? EXIT.regression : EXIT.ok;
}

async function runOne(name: ScenarioName, flags: readonly string[]): Promise<void> {
  const [file, ...ownFlags] = SCENARIOS[name];
  const entry = fileURLToPath(new URL(file, import.meta.url));
  const nodeArguments = ["--enable-source-maps", entry, ...ownFlags, ...flags];
  const child = spawn(process.execPath, nodeArguments, { stdio: "inherit" });
  const endWithUs = (): void => void child.kill("SIGTERM");
  process.once("exit", endWithUs);
  await once(child, "exit");
  process.off("exit", endWithUs);
  console.log("");
}

/** Of all results in the folder, earlier ones included. */
function writeTable(out: string): ScenarioResult[] {
  const results = readResults(out);
  writeFileSync(join(out, "table.md"), `${resultsTable(results)}\n`);
  return results;
}

function readResults(out: string): ScenarioResult[] {
  return NAMES.map((name) => join(out, `${name}.json`))
    .filter((file) => existsSync(file))
    .map((file) => JSON.parse(readFileSync(file, "utf8")) as ScenarioResult);
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1));
process.exitCode = await main();
