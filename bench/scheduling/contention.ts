/*
 * Other work on the machine. The same decoding streams, in turns, on a server of one thread alone, on one of all
 * threads alone and beside a process that spins, and on two servers of all threads side by side; also as many as those two
 * have together on one of them alone, for a larger batch decodes more tokens per second.
 * Run: npm run bench:contention -- --model FILE [--json FILE]
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

import { contentionFindings, type Observed, type SideName } from "./contention-findings.ts";
import { DecodeStreams, outputTokensPerSecond, tokenGaps } from "./decode-streams.ts";
import { kvMemoryFor, startHeadway } from "./headway-server.ts";
import { sampleSum, scrape } from "./prometheus.ts";
import { createPromptSource, type PromptSource } from "./prompt-source.ts";
import { runScenario, type Findings, type ScenarioSettings } from "./scenario.ts";
import { TokenClient } from "./token-client.ts";

const NUM_STREAMS = 8;
const POOL_TOKENS = 16_384;
const WINDOW_MS = 8_000;
const QUICK_WINDOW_MS = 1_500;
/** More than any stream produces in a window. */
const MAX_TOKENS = 1_500;

async function run(settings: ScenarioSettings): Promise<Findings> {
  const windowMs = settings.isQuick ? QUICK_WINDOW_MS : WINDOW_MS;
  const options = { "--kv-memory": await kvMemoryFor(settings.modelPath, POOL_TOKENS) };
  const start = async (threads: number | string): Promise<Contender> =>
    Contender.start(settings, { ...options, "--threads": threads });
  const contenders: Contender[] = [];
  const found = new Map<SideName, Observed[]>();
  const note = (name: SideName, observed: Observed): void => {
    found.set(name, [...(found.get(name) ?? []), observed]);
  };
  try {
    for (const threads of [1, "auto", "auto"]) contenders.push(await start(threads));
    const [single, first, second] = contenders as [Contender, Contender, Contender];
    for (let round = 0; round < settings.numRounds; round++) {
      note("one thread, alone", await single.decode(windowMs));
      note("all threads, alone", await first.decode(windowMs));
      note("all threads, beside a busy process", await besideBusyProcess(() => first.decode(windowMs)));
      // Threads that were given up come back while the machine is calm.
      await first.decode(windowMs / 2);
      note("all threads, alone with 16 streams", await first.decode(windowMs, 2 * NUM_STREAMS));
      note(
        "two servers, together",
        together(await Promise.all([first.decode(windowMs), second.decode(windowMs)])),
      );
    }
  } finally {
    for (const contender of contenders) await contender.stop();
  }
  return contentionFindings(found);
}

class Contender {
  readonly #client: TokenClient;
  readonly #prompts: PromptSource;
  readonly stop: () => Promise<void>;

  constructor(client: TokenClient, prompts: PromptSource, stop: () => Promise<void>) {
    this.#client = client;
    this.#prompts = prompts;
    this.stop = stop;
  }

  static async start(
    settings: ScenarioSettings,
    options: Record<string, string | number>,
  ): Promise<Contender> {
    const server = await startHeadway(settings, options);
    const client = new TokenClient(server.url);
    const prompts = await createPromptSource(server.url);
    await client.complete({ prompt: prompts.next(32), maxTokens: 8 });
    return new Contender(client, prompts, async () => {
      client.close();
      await server.stop();
    });
  }

  /** What the streams get from the moment all decode: a server's adjustment to its neighbours is part of it. */
  async decode(windowMs: number, numStreams = NUM_STREAMS): Promise<Observed> {
    const client = this.#client;
    const options = { numStreams, maxTokens: MAX_TOKENS };
    const streams = await DecodeStreams.start(client, this.#prompts, options);
    const startMs = client.now();
    await sleep(windowMs);
    const window = { startMs, endMs: client.now() };
    const records = await streams.stop();
    const gaps = tokenGaps(records, window);
    return {
      tokensPerSecond: outputTokensPerSecond(records, window),
      stepP50Ms: gaps.percentile(50),
      stepP99Ms: gaps.percentile(99),
      numThreads: sampleSum(await scrape(client.url.origin), "headway_engine_threads"),
    };
  }
}

async function besideBusyProcess<T>(action: () => Promise<T>): Promise<T> {
  const busy = spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" });
  const killNow = (): void => void busy.kill("SIGKILL");
  process.once("exit", killNow);
  try {
    return await action();
  } finally {
    const exited = once(busy, "exit");
    killNow();
    await exited;
    process.off("exit", killNow);
  }
}

function together(both: readonly [Observed, Observed]): Observed {
  const [first, second] = both;
  return {
    tokensPerSecond: first.tokensPerSecond + second.tokensPerSecond,
    stepP50Ms: Math.max(first.stepP50Ms, second.stepP50Ms),
    stepP99Ms: Math.max(first.stepP99Ms, second.stepP99Ms),
    numThreads: (first.numThreads ?? 0) + (second.numThreads ?? 0),
  };
}

await runScenario({
  name: "contention",
  purpose: "8 decoding streams beside a busy process, and beside a second server",
  numRounds: 2,
  run,
});
