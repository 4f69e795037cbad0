/**
 * Output tokens per second of the whole server (HTTP, scheduler, sampling, streaming) against the bare libllama loop on
 * the same library, model, threads and layout.
 * Run: npm run bench:throughput -- --model FILE [--threads N] [--workload decode] [--json FILE]
 *
 * Method: for each number of streams, that many requests start at once and all finish before the next burst; the bare
 * loop does the same work. Server and loop run in turns, in processes of their own, one alive at a time; the ratio is
 * of medians over the rounds. "decode" has short prompts, so it shows what serving costs per token; "mixed" has 128-token
 * prompts, where the server also gives the first tokens of early prompts before it reads the late ones.
 */
import { fork, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { usableCores } from "../../models/usable-cores.ts";
import { seededRandom } from "../seeded-random.ts";
import type { RawLoopRound, RawLoopSettings } from "./raw-loop.ts";

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
const NUM_ROUNDS = 3;
const NUM_TURNS = 2;

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
  return { process: child, url, vocabSize: models.data[0]!.meta.n_vocab, numCells };
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

async function rawRounds(workload: Workload, numStreams: number, numCells: number): Promise<RawLoopRound[]> {
  const { promptLength, outputLength } = workload;
  const settings: RawLoopSettings = {
    modelPath,
    numThreads,
    numStreams,
    promptLength,
    outputLength,
    numRounds: NUM_ROUNDS,
    flashAttention: true,
    numCells,
  };
  const entry = fileURLToPath(new URL("raw-loop.js", import.meta.url));
  const child = fork(entry, [JSON.stringify(settings)], { execArgv: ["--v8-pool-size=1"] });
  const [rounds] = (await once(child, "message")) as [RawLoopRound[]];
  return rounds;
}

function median(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)]!;
}

interface Row {
  readonly workload: string;
  readonly numStreams: number;
  readonly serverTokensPerSecond: number;
  readonly rawTokensPerSecond: number;
  readonly ratio: number;
  readonly serverTtftMs: number;
}

const random = seededRandom(2);
const measured = new Map<string, { server: ServerRound[]; raw: number[] }>();

async function takeTurn(): Promise<void> {
  const server = await startServer();
  const { numCells } = server;
  for (const workload of workloads) {
    for (const numStreams of NUM_STREAMS) {
      const entry = measured.get(`${workload.name} ${numStreams}`) ?? { server: [], raw: [] };
      measured.set(`${workload.name} ${numStreams}`, entry);
      await serverRound(server, workload, numStreams);
      for (let round = 0; round < NUM_ROUNDS; round++) {
        entry.server.push(await serverRound(server, workload, numStreams));
      }
    }
  }
  await stopServer(server);
  for (const workload of workloads) {
    for (const numStreams of NUM_STREAMS) {
      const rounds = await rawRounds(workload, numStreams, numCells);
      const totals = rounds.map(({ prefillMs, decodeMs }) => prefillMs + decodeMs);
      measured.get(`${workload.name} ${numStreams}`)!.raw.push(...totals);
    }
  }
}

function summarize(workload: Workload, numStreams: number): Row {
  const { server, raw } = measured.get(`${workload.name} ${numStreams}`)!;
  const numTokens = numStreams * workload.outputLength;
  const serverMs = median(server.map((round) => round.totalMs));
  const rawMs = median(raw);
  return {
    workload: workload.name,
    numStreams,
    serverTokensPerSecond: Math.round((numTokens / serverMs) * 1000),
    rawTokensPerSecond: Math.round((numTokens / rawMs) * 1000),
    ratio: Number((rawMs / serverMs).toFixed(3)),
    serverTtftMs: Math.round(median(server.map((round) => round.ttftMs))),
  };
}

for (let turn = 0; turn < NUM_TURNS; turn++) await takeTurn();
agent.destroy();
const rows = workloads.flatMap((workload) =>
  NUM_STREAMS.map((numStreams) => summarize(workload, numStreams)),
);
console.table(rows);
if (flags.json !== undefined) {
  const machine = { cpu: cpus()[0]?.model, numCores: cpus().length, node: process.version, numThreads };
  writeFileSync(flags.json, `${JSON.stringify({ machine, rows }, null, 2)}\n`);
}
