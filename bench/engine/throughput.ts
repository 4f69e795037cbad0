/**
 * Output tokens per second of the whole server (HTTP, scheduler, sampling, streaming) against the bare libllama loop on
 * the same library, model, threads and layout.
 * Run: npm run bench:throughput -- --model FILE [--threads N] [--json FILE]
 *
 * Method: for each number of streams, that many requests start at once and all finish before the next burst; the bare
 * loop does the same work. Both processes stay alive, each idle while the other works, and take turns burst by burst, so
 * that a machine that changes its speed changes it for both; the ratio is the median of the rounds' ratios. "decode" has
 * short prompts, so it shows what serving costs per token; "mixed" has 128-token prompts, where the server also gives the
 * first tokens of early prompts before it reads the late ones.
 */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { Agent, request } from "node:http";
import { fileURLToPath } from "node:url";
import { setTimeout } from "node:timers/promises";
import type { KvLayout } from "../../scheduler/contracts.ts";
import { atLeast, type Goal } from "../scheduling/goal.ts";
import { startHeadway, type HeadwayServer } from "../scheduling/headway-server.ts";
import { runScenario, type Findings, type ScenarioSettings } from "../scheduling/scenario.ts";
import { seededRandom } from "../seeded-random.ts";
import type { RawLoopBurst, RawLoopResult, RawLoopSettings } from "./raw-loop.ts";
import { engineEnvironment } from "../../src/engine/engine-environment.ts";

interface Workload {
  readonly name: string;
  readonly promptLength: number;
  readonly outputLength: number;
}

const WORKLOADS: readonly Workload[] = [
  { name: "decode", promptLength: 8, outputLength: 160 },
  { name: "mixed", promptLength: 128, outputLength: 64 },
];
const QUICK_WORKLOADS: readonly Workload[] = [{ name: "decode", promptLength: 8, outputLength: 16 }];
const NUM_STREAMS = [1, 4, 16];
const MAX_NUM_STREAMS = Math.max(...NUM_STREAMS);
const MIN_RATIO = 0.95;
/** Between bursts: what a server does right after its last answer must not slow the loop. */
const PAUSE_MS = 500;

interface Contenders {
  readonly url: string;
  readonly vocabSize: number;
  readonly rawLoop: ChildProcess;
}

async function run(settings: ScenarioSettings): Promise<Findings> {
  const workloads = settings.isQuick ? QUICK_WORKLOADS : WORKLOADS;
  const server = await startHeadway(settings);
  let rawLoop: ChildProcess | null = null;
  try {
    rawLoop = await startRawLoop(server, settings);
    const contenders = { url: server.url, vocabSize: await vocabSizeOf(server), rawLoop };
    const rows: ThroughputRow[] = [];
    for (const workload of workloads) {
      for (const numStreams of NUM_STREAMS)
        rows.push(await measure(contenders, { workload, numStreams, numRounds: settings.numRounds }));
    }
    return { rows, goals: rows.filter(({ streams }) => streams === MAX_NUM_STREAMS).map(goalOf) };
  } finally {
    rawLoop?.disconnect();
    agent.destroy();
    await server.stop();
  }
}

interface Capacity {
  readonly layout: KvLayout;
  readonly kv: { readonly block_size: number; readonly num_blocks: number };
}

interface ModelList {
  readonly data: readonly { readonly meta: { readonly n_vocab: number } }[];
}

/** The loop gets the layout and the memory that the server chose. */
async function startRawLoop(
  { url }: HeadwayServer,
  { modelPath, numThreads }: ScenarioSettings,
): Promise<ChildProcess> {
  const { layout, kv } = (await (await fetch(new URL("/capacity", url))).json()) as Capacity;
  const settings: RawLoopSettings = {
    modelPath,
    numThreads,
    maxNumStreams: MAX_NUM_STREAMS,
    flashAttention: true,
    layout,
    numCells: kv.num_blocks * kv.block_size,
  };
  const entry = fileURLToPath(new URL("raw-loop.js", import.meta.url));
  return fork(entry, [JSON.stringify(settings)], {
    execArgv: ["--v8-pool-size=1"],
    env: engineEnvironment(process.env),
  });
}

async function vocabSizeOf({ url }: HeadwayServer): Promise<number> {
  const models = (await (await fetch(new URL("/v1/models", url))).json()) as ModelList;
  return models.data[0]!.meta.n_vocab;
}

interface Bursts {
  readonly workload: Workload;
  readonly numStreams: number;
  readonly numRounds: number;
}

interface ThroughputRow {
  readonly [column: string]: string | number;
  readonly workload: string;
  readonly streams: number;
  /** Server / bare loop. */
  readonly ratio: number;
}

async function measure(
  contenders: Contenders,
  { workload, numStreams, numRounds }: Bursts,
): Promise<ThroughputRow> {
  const pairs: { burst: ServerRound; rawMs: number }[] = [];
  for (let pair = -1; pair < numRounds; pair++) {
    const burst = await serverRound(contenders, workload, numStreams);
    await setTimeout(PAUSE_MS);
    const rawMs = await rawRound(contenders.rawLoop, workload, numStreams);
    // The first pair warms both up.
    if (pair >= 0) pairs.push({ burst, rawMs });
  }
  const tokensPerSecond = (totalMs: number) =>
    Math.round((numStreams * workload.outputLength * 1000) / totalMs);
  const ratios = pairs.map(({ burst, rawMs }) => rawMs / burst.totalMs);
  return {
    workload: workload.name,
    streams: numStreams,
    "server tokens/s": tokensPerSecond(median(pairs.map(({ burst }) => burst.totalMs))),
    "loop tokens/s": tokensPerSecond(median(pairs.map(({ rawMs }) => rawMs))),
    ratio: median(ratios),
    least: Math.min(...ratios),
    most: Math.max(...ratios),
    "server TTFT ms": median(pairs.map(({ burst }) => burst.ttftMs)),
  };
}

function goalOf({ workload, streams, ratio }: ThroughputRow): Goal {
  return atLeast(`${workload}, ${streams} streams: tokens/s / bare loop`, ratio, MIN_RATIO);
}

interface ServerRound {
  readonly totalMs: number;
  readonly ttftMs: number;
}

async function serverRound(
  { url, vocabSize }: Contenders,
  workload: Workload,
  numStreams: number,
): Promise<ServerRound> {
  const prompts = Array.from({ length: numStreams }, () =>
    Array.from({ length: workload.promptLength }, () => Math.floor(random() * vocabSize)),
  );
  const startMs = performance.now();
  const firsts = await Promise.all(prompts.map((prompt) => complete(url, prompt, workload.outputLength)));
  return { totalMs: performance.now() - startMs, ttftMs: median(firsts) - startMs };
}

async function rawRound(rawLoop: ChildProcess, workload: Workload, numStreams: number): Promise<number> {
  const { promptLength, outputLength } = workload;
  const burst: RawLoopBurst = { numStreams, promptLength, outputLength };
  rawLoop.send(burst);
  const [result] = (await once(rawLoop, "message")) as [RawLoopResult];
  return result.prefillMs + result.decodeMs;
}

const random = seededRandom(2);
const agent = new Agent({ keepAlive: true, maxSockets: 64 });

/**
 * One streamed completion; resolves at its last byte with the time of its first token. The client reads nothing of what it
 * gets: its own work takes cores from the server and not from the loop.
 */
async function complete(url: string, prompt: readonly number[], maxTokens: number): Promise<number> {
  const body = JSON.stringify({
    prompt,
    max_tokens: maxTokens,
    ignore_eos: true,
    temperature: 0,
    stream: true,
  });
  const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    let firstMs = 0;
    const post = request(new URL("/v1/completions", url), { method: "POST", agent, headers }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`));
      response.on("data", () => {
        firstMs ||= performance.now();
      });
      response.once("end", () => resolve(firstMs));
      response.once("error", reject);
    });
    post.once("error", reject);
    post.end(body);
  });
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = sorted.length / 2;
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle - 1)]!) / 2;
}

await runScenario({
  name: "throughput",
  purpose: "the whole server against the bare libllama loop, bursts of 1, 4 and 16 streams in turns",
  numRounds: 8,
  run,
});
