/**
 * Output tokens per second of the whole server (HTTP, scheduler, sampling, streaming) against the bare libllama loop on
 * the same library, model, threads and layout.
 * Run: npm run bench:throughput -- --model FILE [--threads N] [--workload decode] [--json FILE]
 *
 * Method: for each number of streams, that many requests start at once and all finish before the next burst; the bare
 * loop does the same work. Both processes stay alive, each idle while the other works, and take turns burst by burst, so
 * that a machine that changes its speed changes it for both; the ratio is the median of the pairs' ratios. "decode" has
 * short prompts, so it shows what serving costs per token; "mixed" has 128-token prompts, where the server also gives the
 * first tokens of early prompts before it reads the late ones.
 */
import { fork, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { usableCores } from "../../models/usable-cores.ts";
import type { KvLayout } from "../../scheduler/contracts.ts";
import { seededRandom } from "../seeded-random.ts";
import type { RawLoopBurst, RawLoopResult, RawLoopSettings } from "./raw-loop.ts";

interface Workload {
  readonly name: string;
  readonly promptLength: number;
  readonly outputLength: number;
}

const WORKLOADS: readonly Workload[] = [
  { name: "decode", promptLength: 8, outputLength: 160 },
  { name: "mixed", promptLength: 128, outputLength: 64 },
];
const NUM_STREAMS = [1, 4, 16];
const NUM_PAIRS = 8;
/** Between bursts: what a server does right after its last answer must not slow the loop. */
const PAUSE_MS = 500;

const { values: flags } = parseArgs({
  options: {
    model: { type: "string" },
    threads: { type: "string" },
    workload: { type: "string" },
    json: { type: "string" },
  },
});
const workloads = WORKLOADS.filter(({ name }) => flags.workload === undefined || flags.workload === name);
const modelPath =
  flags.model ?? fileURLToPath(new URL("../../../models/demo/headway-demo.gguf", import.meta.url));
const numThreads = Number(flags.threads ?? usableCores());
const agent = new Agent({ keepAlive: true, maxSockets: 64 });

interface ServerHandle {
  readonly process: ChildProcess;
  readonly url: URL;
  readonly vocabSize: number;
  readonly layout: KvLayout;
  readonly numCells: number;
}

async function startServer(): Promise<ServerHandle> {
  const main = fileURLToPath(new URL("../../../bin/headway.mjs", import.meta.url));
  const options = ["--model", modelPath, "--port", "0", "--threads", String(numThreads)];
  const child = spawn(
    process.execPath,
    [main, "serve", ...options, "--backend", "cpu", "--log-level", "error"],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  let printed = "";
  for await (const chunk of child.stdout) {
    printed += String(chunk);
    if (printed.includes("curl")) break;
  }
  const url = new URL(/listening\s+(\S+)/.exec(printed)![1]!);
  const models = (await (await fetch(new URL("/v1/models", url))).json()) as ModelList;
  const numCells = Number(/= (\d+) tokens/.exec(printed)![1]);
  const layout = /KV layout (paged|streams):/.exec(printed)![1] as KvLayout;
  return { process: child, url, vocabSize: models.data[0]!.meta.n_vocab, layout, numCells };
}

interface ModelList {
  readonly data: readonly { readonly meta: { readonly n_vocab: number } }[];
}

async function stopServer({ process: child }: ServerHandle): Promise<void> {
  child.kill("SIGTERM");
  await once(child, "exit");
}

/** One streamed completion; resolves at its last byte with the time of its first token. */
async function complete(url: URL, prompt: readonly number[], maxTokens: number): Promise<number> {
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

interface ServerRound {
  readonly totalMs: number;
  readonly ttftMs: number;
}

async function serverRound(
  server: ServerHandle,
  workload: Workload,
  numStreams: number,
): Promise<ServerRound> {
  const prompts = Array.from({ length: numStreams }, () =>
    Array.from({ length: workload.promptLength }, () => Math.floor(random() * server.vocabSize)),
  );
  const startMs = performance.now();
  const firsts = await Promise.all(
    prompts.map((prompt) => complete(server.url, prompt, workload.outputLength)),
  );
  return { totalMs: performance.now() - startMs, ttftMs: median(firsts) - startMs };
}

function startRawLoop({ layout, numCells }: ServerHandle): ChildProcess {
  const settings: RawLoopSettings = {
    modelPath,
    numThreads,
    maxNumStreams: Math.max(...NUM_STREAMS),
    flashAttention: true,
    layout,
    numCells,
  };
  const entry = fileURLToPath(new URL("raw-loop.js", import.meta.url));
  return fork(entry, [JSON.stringify(settings)], { execArgv: ["--v8-pool-size=1"] });
}

async function rawRound(rawLoop: ChildProcess, workload: Workload, numStreams: number): Promise<number> {
  const { promptLength, outputLength } = workload;
  const burst: RawLoopBurst = { numStreams, promptLength, outputLength };
  rawLoop.send(burst);
  const [result] = (await once(rawLoop, "message")) as [RawLoopResult];
  return result.prefillMs + result.decodeMs;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = sorted.length / 2;
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle - 1)]!) / 2;
}

interface Row {
  readonly workload: string;
  readonly numStreams: number;
  readonly serverTokensPerSecond: number;
  readonly rawTokensPerSecond: number;
  readonly ratio: number;
  readonly ratios: readonly number[];
  readonly serverTtftMs: number;
}

const random = seededRandom(2);

async function measure(workload: Workload, numStreams: number): Promise<Row> {
  const pairs: { burst: ServerRound; rawMs: number }[] = [];
  for (let pair = -1; pair < NUM_PAIRS; pair++) {
    const burst = await serverRound(server, workload, numStreams);
    await setTimeout(PAUSE_MS);
    const rawMs = await rawRound(rawLoop, workload, numStreams);
    // The first pair warms both up.
    if (pair >= 0) pairs.push({ burst, rawMs });
  }
  const tokensPerSecond = (totalMs: number) =>
    Math.round((numStreams * workload.outputLength * 1000) / totalMs);
  return {
    workload: workload.name,
    numStreams,
    serverTokensPerSecond: tokensPerSecond(median(pairs.map(({ burst }) => burst.totalMs))),
    rawTokensPerSecond: tokensPerSecond(median(pairs.map(({ rawMs }) => rawMs))),
    ratio: round(median(pairs.map(({ burst, rawMs }) => rawMs / burst.totalMs))),
    ratios: pairs.map(({ burst, rawMs }) => round(rawMs / burst.totalMs)),
    serverTtftMs: Math.round(median(pairs.map(({ burst }) => burst.ttftMs))),
  };
}

function round(ratio: number): number {
  return Number(ratio.toFixed(3));
}

const server = await startServer();
const rawLoop = startRawLoop(server);
const rows: Row[] = [];
for (const workload of workloads) {
  for (const numStreams of NUM_STREAMS) rows.push(await measure(workload, numStreams));
}
await stopServer(server);
rawLoop.disconnect();
agent.destroy();
console.table(
  rows.map(({ ratios, ...row }) => ({ ...row, least: Math.min(...ratios), most: Math.max(...ratios) })),
);
if (flags.json !== undefined) {
  const machine = { cpu: cpus()[0]?.model, numCores: cpus().length, node: process.version, numThreads };
  writeFileSync(flags.json, `${JSON.stringify({ machine, rows }, null, 2)}\n`);
}
