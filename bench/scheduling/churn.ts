/*
 * A thousand requests of mixed lengths, 64 at a time, a third of them cancelled at random: what is left behind?
 * Run: npm run bench:churn -- --model FILE [--json FILE]
 */
import type { RequestRecord } from "../load/request.ts";
import { Semaphore } from "../load/semaphore.ts";
import { seededRandom, uniformInteger, type Random } from "../seeded-random.ts";
import { setTimeout as sleep } from "node:timers/promises";

import { atLeast, atMost, ratio } from "./goal.ts";
import { kvMemoryFor, startHeadway, type HeadwayServer } from "./headway-server.ts";
import { sampleSum, scrape } from "./prometheus.ts";
import { createPromptSource, type PromptSource } from "./prompt-source.ts";
import { runScenario, type Findings, type Row, type ScenarioSettings } from "./scenario.ts";
import { TokenClient } from "./token-client.ts";

const NUM_REQUESTS = 1_000;
const HOST_TOKENS = 4_096;
const QUICK_NUM_REQUESTS = 200;
const CONCURRENCY = 64;
const CANCELLED_SHARE = 1 / 3;
/** Small enough that the first half of the requests touches all of it. */
const POOL_TOKENS = 4_096;
const MAX_PROMPT_LENGTH = 40;
const MAX_OUTPUT_LENGTH = 24;
/** Aborts travel to the engine, and freed memory back to the system, a little later. */
const CALM_MS = 1_000;
const MIB = 2 ** 20;

/** What the server holds while it has nothing to do. */
interface Rest {
  readonly residentBytes: number;
  readonly numUsedBlocks: number | null;
  readonly numRunning: number | null;
}

async function run(settings: ScenarioSettings): Promise<Findings> {
  const numRequests = settings.isQuick ? QUICK_NUM_REQUESTS : NUM_REQUESTS;
  const server = await startHeadway(settings, {
    "--kv-memory": await kvMemoryFor(settings.modelPath, POOL_TOKENS),
    // Full long before half of the requests are through, so that what still grows is a leak.
    "--kv-host-memory": await kvMemoryFor(settings.modelPath, HOST_TOKENS),
  });
  const client = new TokenClient(server.url);
  try {
    const source = { prompts: await createPromptSource(server.url), random: seededRandom(1) };
    await client.complete({ prompt: source.prompts.next(MAX_PROMPT_LENGTH), maxTokens: MAX_OUTPUT_LENGTH });
    const start = await restOf(server);
    const first = await churn(client, source, numRequests / 2);
    const middle = await restOf(server);
    const second = await churn(client, source, numRequests / 2);
    const end = await restOf(server);
    return findingsOf([...first, ...second], { start, middle, end });
  } finally {
    client.close();
    await server.stop();
  }
}

interface Source {
  readonly prompts: PromptSource;
  readonly random: Random;
}

async function churn(client: TokenClient, source: Source, numRequests: number): Promise<RequestRecord[]> {
  const places = new Semaphore(CONCURRENCY);
  return Promise.all(
    Array.from({ length: numRequests }, async () => {
      await places.acquire();
      const record = await sendOne(client, source);
      places.release();
      return record;
    }),
  );
}

/** A third leave after a random number of tokens: 0 means while they wait or their prompt is read. */
async function sendOne(client: TokenClient, { prompts, random }: Source): Promise<RequestRecord> {
  const prompt = prompts.next(uniformInteger(random, 8, MAX_PROMPT_LENGTH));
  const maxTokens = uniformInteger(random, 4, MAX_OUTPUT_LENGTH);
  const leaver = new AbortController();
  const leavesAfter = random() < CANCELLED_SHARE ? uniformInteger(random, 0, maxTokens - 1) : Infinity;
  const onText = (numTokens: number): void => {
    if (numTokens >= leavesAfter) leaver.abort();
  };
  const answer = client.complete({ prompt, maxTokens, onText, signal: leaver.signal });
  if (leavesAfter === 0) {
    await sleep(random() * 100);
    leaver.abort();
  }
  return (await answer).record;
}

async function restOf(server: HeadwayServer): Promise<Rest> {
  await sleep(CALM_MS);
  const samples = await scrape(server.url);
  return {
    residentBytes: server.residentBytes(),
    numUsedBlocks: sampleSum(samples, "headway_kv_blocks", 'state="used"'),
    numRunning: sampleSum(samples, "headway_requests_in_flight"),
  };
}

interface Rests {
  readonly start: Rest;
  readonly middle: Rest;
  readonly end: Rest;
}

function findingsOf(records: readonly RequestRecord[], { start, middle, end }: Rests): Findings {
  const kept = records.filter(({ outcome }) => outcome !== "cancelled");
  const complete = kept.filter(
    ({ outcome, outputTokens, maxTokens }) => outcome === "ok" && outputTokens === maxTokens,
  );
  return {
    rows: [row("at the start", start), row("after half", middle), row("after all", end)],
    goals: [
      atLeast(
        `complete, of ${records.length} less ${records.length - kept.length} cancelled`,
        complete.length,
        kept.length,
      ),
      atMost("KV blocks still in use", end.numUsedBlocks, start.numUsedBlocks ?? 0),
      atMost("requests still in flight", end.numRunning, 0),
      atMost("memory after all / after half", ratio(end.residentBytes, middle.residentBytes), 1.05),
    ],
  };
}

function row(side: string, rest: Rest): Row {
  return { side, "resident MiB": rest.residentBytes / MIB, "KV blocks in use": rest.numUsedBlocks };
}

await runScenario({
  name: "churn",
  purpose: "1,000 requests of mixed lengths, 64 at a time, a third cancelled: what is left behind",
  numRounds: 1,
  run,
});
