import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

import { Command } from "commander";

import { usableCores } from "../../models/usable-cores.ts";
import { packageFile } from "../../src/cli/package-file.ts";
import { EXIT } from "../commands/exit-codes.ts";
import { DEFAULT_SHAPE, writeRandomModel } from "../engine/random-model.ts";
import { wholeAtLeast } from "../option-numbers.ts";
import { fileHash } from "../peers/file-hash.ts";
import { formatTable } from "../report/format.ts";
import { machineFacts, type MachineFacts } from "../report/machine-facts.ts";
import { formatFigure, verdict, type Goal } from "./goal.ts";

/** What all benchmarks of this folder can be told. */
export interface ScenarioSettings {
  readonly modelPath: string;
  readonly numThreads: number;
  /** Small sizes that only show that the benchmark runs: figures mean nothing. */
  readonly isQuick: boolean;
  readonly numRounds: number;
  readonly llamaServer: string | null;
  /** Further options for every Headway server that is started. */
  readonly serverOptions: readonly string[];
}

/** One side of the comparison; columns by name. */
export type Row = Readonly<Record<string, string | number | null>>;

export interface Findings {
  readonly rows: readonly Row[];
  readonly goals: readonly Goal[];
}

export interface Scenario {
  readonly name: string;
  /** What it shows, in one sentence. */
  readonly purpose: string;
  readonly numRounds: number;
  run(settings: ScenarioSettings): Promise<Findings>;
}

export interface ScenarioResult extends Findings {
  readonly name: string;
  readonly purpose: string;
  readonly date: string;
  readonly seconds: number;
  readonly machine: MachineFacts;
  readonly model: { readonly file: string; readonly sha256: string };
  readonly settings: Omit<ScenarioSettings, "modelPath">;
}

interface FlagValues {
  readonly model: string;
  readonly threads: number;
  readonly randomWeights: boolean;
  readonly quick: boolean;
  readonly rounds: number;
  readonly llamaServer?: string;
  readonly serverOption: string[];
  readonly json?: string;
}

/** The whole program of a benchmark: flags, run, table, verdicts, JSON, exit code. */
export async function runScenario(scenario: Scenario): Promise<void> {
  // Servers are stopped by handlers of `exit`, which a signal alone does not call.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1));
  const flags = parseFlags(scenario);
  try {
    const result = await measure(scenario, flags);
    console.log(describe(result));
    if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(result, null, 1)}\n`);
    process.exitCode = result.goals.some(({ isMet }) => isMet === false) ? EXIT.regression : EXIT.ok;
  } catch (error) {
    console.error(`${scenario.name} could not be measured: ${(error as Error).message}`);
    process.exitCode = EXIT.failed;
  }
}

async function measure(scenario: Scenario, flags: FlagValues): Promise<ScenarioResult> {
  const settings = settingsOf(flags);
  if (!flags.randomWeights) return resultOf(scenario, settings);
  const folder = mkdtempSync(join(tmpdir(), "headway-bench-"));
  try {
    const modelPath = join(folder, "random-weights.gguf");
    await writeRandomModel(modelPath, settings.modelPath, DEFAULT_SHAPE);
    const name = `${scenario.name}-random-weights`;
    return await resultOf({ ...scenario, name }, { ...settings, modelPath });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function resultOf(scenario: Scenario, settings: ScenarioSettings): Promise<ScenarioResult> {
  const machine = machineFacts();
  const startMs = performance.now();
  const findings = await scenario.run(settings);
  const { modelPath, llamaServer, ...kept } = settings;
  return {
    name: scenario.name,
    purpose: scenario.purpose,
    date: new Date().toISOString(),
    seconds: Math.round((performance.now() - startMs) / 1000),
    machine,
    model: { file: basename(modelPath), sha256: fileHash(modelPath) },
    settings: { ...kept, llamaServer: llamaServer === null ? null : basename(llamaServer) },
    ...findings,
  };
}

function parseFlags({ name, purpose, numRounds }: Scenario): FlagValues {
  return new Command(name)
    .description(purpose)
    .option("--model <file>", "GGUF file", packageFile("models/demo/headway-demo.gguf"))
    .option("--random-weights", "a model of random weights, in wide layers, with --model's tokenizer", false)
    .option("--threads <n>", "compute threads of each server", wholeAtLeast(1), usableCores())
    .option("--rounds <n>", "how often the sides take turns", wholeAtLeast(1), numRounds)
    .option("--quick", "small sizes: shows that it runs, measures nothing", false)
    .option("--llama-server <file>", "llama-server's binary, for the comparison with it")
    .option(
      "--server-option <option>",
      "further option for `headway serve`, such as --no-prefix-cache; repeatable",
      (text: string, all: string[]) => [...all, text],
      [] as string[],
    )
    .option("--json <file>", "write the result")
    .parse()
    .opts<FlagValues>();
}

function settingsOf(flags: FlagValues): ScenarioSettings {
  return {
    modelPath: flags.model,
    numThreads: flags.threads,
    isQuick: flags.quick,
    numRounds: flags.quick ? 1 : flags.rounds,
    llamaServer: flags.llamaServer ?? null,
    serverOptions: flags.serverOption,
  };
}

function describe({ name, purpose, seconds, rows, goals }: ScenarioResult): string {
  const columns = [...new Set(rows.flatMap(Object.keys))];
  const cells = rows.map((row) => columns.map((column) => formatCell(row[column])));
  const lines = goals.map((goal) => [
    goal.claim,
    formatFigure(goal.value),
    `${goal.comparison} ${formatFigure(goal.limit)}`,
    verdict(goal),
  ]);
  return [
    `${name}: ${purpose} (${seconds} s)`,
    formatTable([columns, ...cells]),
    formatTable([["goal", "found", "wanted", ""], ...lines]),
  ].join("\n\n");
}

export function formatCell(value: string | number | null | undefined): string {
  return typeof value === "number" ? formatFigure(value) : (value ?? "-");
}
