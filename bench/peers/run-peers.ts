/*
 * Runs the same workloads against Headway and other servers on one model file, one server alive at a time,
 * and writes a result file a server:
 *
 *   npm run bench:peers -- --model FILE --threads 2 --peers headway,llama-server --out bench/results/cpu
 *
 * A server that runs already (Ollama, vLLM) takes part by address: --external ollama=http://127.0.0.1:11434
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { basename, join, relative } from "node:path";

import { Command } from "commander";

import { packageFile } from "../../src/cli/package-file.ts";
import type { BenchConfig } from "../bench-config.ts";
import { configFromArguments } from "../config-from-arguments.ts";
import { serverFacts } from "../load/server-facts.ts";
import type { RunData } from "../measure/run-summary.ts";
import { benchResult, type BenchResult } from "../report/bench-result.ts";
import { LiveView } from "../report/live-view.ts";
import { machineFacts } from "../report/machine-facts.ts";
import { calibrationOf, runOnce } from "../run-benchmark.ts";
import { deriveSeed } from "../seeded-random.ts";
import { fileHash } from "./file-hash.ts";
import { knownPeers } from "./known-peers.ts";
import { startPeer, type Peer, type PeerSettings, type RunningPeer } from "./peer.ts";
import { PEER_WORKLOADS, sized, workloadArguments, type PeerWorkload } from "./peer-workloads.ts";
import { peerTable, type PeerResults } from "./peer-table.ts";

interface PeerOptions {
  model: string;
  threads: string;
  peers: string;
  external: string[];
  workloads?: string;
  rounds: string;
  size: string;
  sequences: string;
  context: string;
  out: string;
}

const command = new Command("run-peers")
  .requiredOption("--model <file>", "GGUF file that all servers load")
  .option("--threads <n>", "compute threads of each server", "2")
  .option("--peers <list>", "servers to start", "headway,llama-server,node-llama-cpp")
  .option(
    "--external <name=url>",
    "a server that runs already",
    (text: string, all: string[]) => [...all, text],
    [],
  )
  .option("--workloads <list>", "only these workloads")
  .option("--rounds <n>", "rounds; each starts every server anew", "3")
  .option("--size <factor>", "multiplies all numbers of requests and times", "1")
  .option("--sequences <n>", "parallel sequences of each server", "16")
  .option("--context <n>", "tokens a sequence may use", "2048")
  .requiredOption("--out <folder>", "folder for the result files");

/** Where a server is and how it is reached while its turn lasts. */
interface Contender {
  name: string;
  version: string;
  start(): Promise<RunningPeer>;
}

async function main(): Promise<void> {
  const options = command.parse().opts<PeerOptions>();
  const settings: PeerSettings = {
    modelPath: options.model,
    threads: Number(options.threads),
    contextPerSequence: Number(options.context),
    numSequences: Number(options.sequences),
  };
  const workloads = workloadsOf(options);
  const textSeed = Math.floor(Math.random() * 2 ** 32);
  const contenders = await contendersOf(options, settings);
  const runs = new Map<string, RunData[]>();
  const results: PeerResults[] = [];
  mkdirSync(options.out, { recursive: true });
  for (let round = 0; round < Number(options.rounds); round++) {
    // Every second round goes backwards, so that no server always runs on the cooler machine.
    for (const contender of round % 2 === 0 ? contenders : contenders.toReversed()) {
      const found = await runContender(contender, workloads, { round, runs, textSeed });
      results[contenders.indexOf(contender)] = {
        peer: contender.name,
        version: contender.version,
        results: found,
      };
      // Written after every turn: hours of work survive an interruption.
      writeResults(options, { settings, workloads, results });
    }
  }
  console.log(peerTable(results));
}

function workloadsOf({ workloads, size }: PeerOptions): PeerWorkload[] {
  const known = new Map(PEER_WORKLOADS.map((workload) => [workload.name, workload]));
  return (workloads?.split(",") ?? [...known.keys()]).map((name) => {
    const workload = known.get(name);
    if (workload === undefined)
      throw new Error(`unknown workload '${name}': known are ${[...known.keys()].join(", ")}`);
    return sized(workload, Number(size));
  });
}

async function contendersOf(options: PeerOptions, settings: PeerSettings): Promise<Contender[]> {
  const known = knownPeers(process.env);
  const started = options.peers
    .split(",")
    .filter((name) => name !== "")
    .map((name) => {
      const peer = known.get(name);
      if (peer === undefined)
        throw new Error(`unknown peer '${name}': known are ${[...known.keys()].join(", ")}`);
      return startedContender(peer, settings);
    });
  return [...(await Promise.all(started)), ...(await Promise.all(options.external.map(externalContender)))];
}

async function startedContender(peer: Peer, settings: PeerSettings): Promise<Contender> {
  try {
    return { name: peer.name, version: await peer.version(), start: () => startPeer(peer, settings) };
  } catch (error) {
    const advice = "say where it is (LLAMA_SERVER, NODE_LLAMA_CPP) or leave it out of --peers";
    throw new Error(`${peer.name}: ${(error as Error).message}; ${advice}`, { cause: error });
  }
}

async function externalContender(text: string): Promise<Contender> {
  const [name = "", url = ""] = text.split(/=(.*)/s);
  const { version } = await serverFacts(url, null, null);
  return { name, version: version ?? "unknown", start: async () => ({ url, stop: async () => {} }) };
}

interface Turn {
  round: number;
  /** Runs of all rounds so far, by server and workload. */
  runs: Map<string, RunData[]>;
  /** The same for all servers, so that all read the same words. */
  textSeed: number;
}

async function runContender(
  contender: Contender,
  workloads: readonly PeerWorkload[],
  turn: Turn,
): Promise<Record<string, BenchResult>> {
  const running = await contender.start();
  try {
    const results: Record<string, BenchResult> = {};
    for (const workload of workloads)
      results[workload.name] = await runWorkload(contender, running.url, { workload, ...turn });
    return results;
  } finally {
    await running.stop();
  }
}

async function runWorkload(
  contender: Contender,
  url: string,
  { workload, round, runs, textSeed }: Turn & { workload: PeerWorkload },
): Promise<BenchResult> {
  process.stderr.write(`round ${round + 1}, ${contender.name}: ${workload.purpose}\n`);
  const server = await serverFacts(url, null, null);
  // Other words for every workload: a server must not find an earlier one's prompts in its cache.
  const words = ["--text-seed", String(deriveSeed(textSeed, workload.name))];
  const config = configFromArguments([...workloadArguments(workload), ...words, "--url", url], server.model);
  const calibration = await calibrationOf(config);
  const data = await runOnce(config, {
    runIndex: round,
    calibration,
    observer: new LiveView(process.stderr),
  });
  const key = `${contender.name} ${workload.name}`;
  const all = [...(runs.get(key) ?? []), data];
  runs.set(key, all);
  return benchResult({
    config: withRelativeFile(config),
    data: { runs: all, calibration, interrupted: false },
    server,
    date: new Date(),
  });
}

/** Results are read elsewhere: the trace is named by its place in the package. */
function withRelativeFile(config: BenchConfig): BenchConfig {
  const { file } = config.workload;
  if (file === null) return config;
  return { ...config, workload: { ...config.workload, file: relative(packageFile("."), file) } };
}

interface Written {
  settings: PeerSettings;
  workloads: readonly PeerWorkload[];
  results: PeerResults[];
}

function writeResults(options: PeerOptions, { settings, workloads, results }: Written): void {
  const model = { file: basename(options.model), sha256: fileHash(options.model) };
  const facts = { machine: machineFacts(), settings: { ...settings, modelPath: model.file }, model };
  const finished = results.filter((each) => each !== undefined);
  for (const { peer, version, results: found } of finished) {
    const document = { peer, version, ...facts, workloads, results: found };
    writeFileSync(join(options.out, `${peer}.json`), `${JSON.stringify(document, null, 1)}\n`);
  }
  writeFileSync(join(options.out, "table.md"), `${peerTable(finished)}\n`);
}

for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
await main();
