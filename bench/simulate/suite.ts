/**
 * All simulations that docs/simulation.md tells about as Markdown on stdout.
 * Run: npm run bench:simulate:suite -- [--azure FILE] [--mooncake FILE] [--json FILE] [--threads N]
 * Without files it plays the samples in bench/traces. The results in bench/results come from:
 *   npm run --silent bench:simulate:suite -- --azure FILE --mooncake FILE \
 *     --json bench/results/simulate.json > bench/results/simulate.md
 */
import { writeFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { usableCores } from "../../models/usable-cores.ts";
import { readArguments } from "./arguments.ts";
import { runSimulation } from "./run-simulation.ts";
import { SimulationThreads } from "./simulation-threads.ts";

const { values: flags } = parseArgs({
  options: {
    azure: { type: "string" },
    mooncake: { type: "string" },
    json: { type: "string" },
    threads: { type: "string" },
  },
});
const azure = flags.azure ?? bundledTrace("azure-conv-2000.csv.gz");
const mooncake = flags.mooncake ?? bundledTrace("mooncake-conversation-1000.jsonl.gz");

const SUITE: readonly (readonly string[])[] = [
  ...["cpu-like", "h100-like"].flatMap((machine) => [
    ["--machine", machine, "--workload", "poisson", "--requests", "5000"],
    ["--machine", machine, "--workload", "bursts", "--load", "0.5", "--requests", "5000"],
    ["--machine", machine, "--workload", "sharegpt", "--requests", "5000"],
    ["--machine", machine, "--workload", "shared-prefix", "--load", "0.5", "--requests", "5000"],
    ["--machine", machine, "--workload", "intruders", "--load", "0.6", "--requests", "3000"],
    ["--machine", machine, "--workload", "abusive-tenant", "--load", "1.3", "--requests", "3000"],
  ]),
  [
    "--machine",
    "cpu-like",
    "--workload",
    "intruders",
    "--load",
    "0.6",
    "--requests",
    "3000",
    "--target-itl-ms",
    "200",
  ],
  ["--machine", "cpu-like", "--trace", azure, "--scale-length", "0.25", "--scale-time", "10"],
  ["--machine", "cpu-like", "--trace", mooncake, "--scale-length", "0.05", "--scale-time", "30"],
  ["--machine", "h100-like", "--trace", azure],
  ["--machine", "h100-like", "--trace", mooncake, "--scale-time", "6", "--requests", "6000"],
  ["fleet", "--machine", "h100-like", "--trace", azure, "--scale-time", "0.2", "--replicas", "4,5,6,8"],
  [
    "fleet",
    "--machine",
    "h100-like",
    "--trace",
    mooncake,
    "--max-model-len",
    "131072",
    "--replicas",
    "4,6,8",
  ],
];

function bundledTrace(name: string): string {
  return fileURLToPath(new URL(`../../../bench/traces/${name}`, import.meta.url));
}

const SOURCE =
  flags.azure === undefined || flags.mooncake === undefined
    ? "with the samples in `bench/traces`"
    : "with both traces in full (`--azure`, `--mooncake`)";

console.log(`# Simulations

Written by \`npm run bench:simulate:suite\` ${SOURCE}; what the columns mean is in
[docs/simulation.md](../../docs/simulation.md).
`);

const threads = new SimulationThreads(Number(flags.threads ?? usableCores()));
const reports = SUITE.map((args) => runSimulation(readArguments(args)!, threads));
const data: object[] = [];
for (const [index, args] of SUITE.entries()) {
  const report = await reports[index]!;
  const shown = args.map((arg) => (arg === azure || arg === mooncake ? basename(arg) : arg)).join(" ");
  console.log(`## ${shown}\n\n\`\`\`text\n${report.text}\n\`\`\`\n`);
  data.push(report.data);
}
if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(data, null, 1)}\n`);
await threads.close();
