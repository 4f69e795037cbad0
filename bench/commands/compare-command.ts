import { Command, Option } from "commander";

import type { BenchConfig } from "../bench-config.ts";
import type { BenchOptionValues } from "../bench-options.ts";
import type { TokenCalibration } from "../load/prompt-writer.ts";
import type { ServerFacts } from "../load/server-facts.ts";

import { addBenchOptions, APIS } from "../bench-options.ts";
import { compareSides, type Comparison, type Side } from "../compare/compare-runs.ts";
import { measuredRecords, summarizeRun } from "../measure/run-summary.ts";
import { windowOptions, withoutSecrets } from "../report/bench-result.ts";
import { formatMs, formatRate, formatTable } from "../report/format.ts";
import { liveView } from "../report/live-view.ts";
import { machineFacts } from "../report/machine-facts.ts";
import { writeJson } from "../report/result-file.ts";
import { warningLines } from "../report/warning-lines.ts";
import { calibrationOf, runOnce } from "../run-benchmark.ts";
import { deriveSeed } from "../seeded-random.ts";
import { EXIT } from "./exit-codes.ts";
import { prepareTarget } from "./prepare-target.ts";

interface CompareOptionValues extends BenchOptionValues {
  urlB?: string;
  apiB?: BenchOptionValues["api"];
  modelB?: string;
  keyB?: string;
  extraBodyB?: string;
  labelA: string;
  labelB: string;
  json?: string;
}

const MIN_ROUNDS = 2;
const DEFAULT_ROUNDS = 5;

export function createCompareCommand(): Command {
  const command = new Command("compare")
    .description(
      "Compares two servers, or one server with two options, in alternating rounds (--repeat, default 5).",
    )
    .helpOption("-h, --help", "explain the options");
  return addBenchOptions(command)
    .optionsGroup("Side B (what is not given is as for A):")
    .option("--url-b <url>", "address of server B")
    .addOption(new Option("--api-b <api>", "endpoint of B").choices(APIS))
    .option("--model-b <name>", "model of B")
    .option("--key-b <key>", "API key of B")
    .option("--extra-body-b <json>", "JSON object merged into B's requests instead of --extra-body")
    .option("--label-a <name>", "name of A in the report", "A")
    .option("--label-b <name>", "name of B in the report", "B")
    .option("--json <file>", "write the comparison and all rounds");
}

interface PreparedSide {
  config: BenchConfig;
  server: ServerFacts;
  calibration: TokenCalibration;
  side: Side;
}

/** `headway bench compare`: ratios B/A with intervals over the rounds. */
export async function compareCommand(options: CompareOptionValues): Promise<number> {
  const numRounds = options.repeat === 1 ? DEFAULT_ROUNDS : options.repeat;
  if (numRounds < MIN_ROUNDS) throw new RangeError("compare needs --repeat 2 or more");
  const textSeed = options.textSeed ?? Math.floor(Math.random() * 2 ** 32);
  const a = await prepareSide({ ...options, textSeed }, options.labelA);
  const b = await prepareSide(optionsOfB(options, textSeed), options.labelB);
  for (let round = 0; round < numRounds; round++) {
    // Every second round starts with B, so that neither side always runs on the warmer machine.
    const order = round % 2 === 0 ? [a, b] : [b, a];
    for (const side of order) await runRound(side, { round, live: options.live });
  }
  const comparisons = compareSides(a.side, b.side, options.seed);
  console.log(comparisonText(comparisons, a.side.label, b.side.label));
  for (const { config, side } of [a, b]) {
    side.rounds.forEach(({ summary }, round) =>
      warningLines(config, summary).forEach((line) =>
        console.log(`${side.label}, round ${round + 1}: ${line}`),
      ),
    );
  }
  if (options.json !== undefined) writeComparison(options.json, comparisons, [a, b]);
  return [a, b].every(({ side }) => side.rounds.some(({ measured }) => measured.length > 0))
    ? EXIT.ok
    : EXIT.failed;
}

/** On one server B's prompts get other words: else it would find A's in the prefix cache. */
function optionsOfB(options: CompareOptionValues, textSeed: number): BenchOptionValues {
  const isSameServer = (options.urlB ?? options.url) === options.url;
  const { extraBodyB, modelB, keyB, apiB } = options;
  return {
    ...options,
    url: options.urlB ?? options.url,
    textSeed: isSameServer ? deriveSeed(textSeed, "B") : textSeed,
    ...(apiB === undefined ? {} : { api: apiB }),
    ...(modelB === undefined ? {} : { model: modelB }),
    ...(keyB === undefined ? {} : { key: keyB }),
    ...(extraBodyB === undefined ? {} : { extraBody: extraBodyB }),
  };
}

async function prepareSide(options: BenchOptionValues, label: string): Promise<PreparedSide> {
  const { config, server } = await prepareTarget(options);
  return { config, server, calibration: await calibrationOf(config), side: { label, rounds: [] } };
}

async function runRound(
  { config, calibration, side }: PreparedSide,
  { round, live }: { readonly round: number; readonly live: boolean },
): Promise<void> {
  process.stderr.write(`round ${round + 1}, ${side.label}\n`);
  const data = await runOnce(config, {
    runIndex: round,
    calibration,
    observer: liveView({ live }),
  });
  const summary = summarizeRun(data, windowOptions(config), config.slo);
  side.rounds.push({ measured: measuredRecords(data.records, summary.window), summary });
}

function comparisonText(comparisons: readonly Comparison[], labelA: string, labelB: string): string {
  const rows = comparisons.map(({ metric, unit, a, b, ratio, interval, verdict }) => {
    const format = unit === "ms" ? formatMs : formatRate;
    const range = interval === null ? "-" : `${interval[0].toFixed(3)} .. ${interval[1].toFixed(3)}`;
    return [metric, format(a), format(b), ratio?.toFixed(3) ?? "-", range, verdict];
  });
  const table = formatTable([
    ["metric", labelA, labelB, `${labelB}/${labelA}`, "95 % interval", labelB],
    ...rows,
  ]);
  return `${table}\nIntervals by bootstrap over the rounds; 'better' and 'worse' only where they exclude 1.`;
}

function writeComparison(
  path: string,
  comparisons: readonly Comparison[],
  sides: readonly PreparedSide[],
): void {
  const described = sides.map(({ config, server, side }) => ({
    label: side.label,
    server,
    config: withoutSecrets(config),
    rounds: side.rounds.map(({ summary }) => summary),
  }));
  writeJson(path, { machine: machineFacts(), comparisons, sides: described });
}
