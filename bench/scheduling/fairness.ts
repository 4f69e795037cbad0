/*
 * One tenant floods the server with a hundred requests; another sends one at a time, in turns alone and during a flood. A
 * tenant is an API key.
 * Run: npm run bench:fairness -- --model FILE [--json FILE]
 */
import { setTimeout as sleep } from "node:timers/promises";

import type { RequestRecord } from "../load/request.ts";
import { distributionOf, type Distribution } from "../measure/distribution.ts";
import { requestMetrics } from "../measure/request-metrics.ts";
import { tokenGaps } from "./decode-streams.ts";
import { atLeast, atMost } from "./goal.ts";
import { startHeadway } from "./headway-server.ts";
import { createPromptSource, type PromptSource } from "./prompt-source.ts";
import { runScenario, type Findings, type Row, type ScenarioSettings } from "./scenario.ts";
import { TokenClient } from "./token-client.ts";

const FLOODING_KEY = "flooding-tenant";
const OTHER_KEY = "other-tenant";

interface Sizes {
  readonly numFlooding: number;
  readonly numOther: number;
  readonly promptLength: number;
  readonly floodOutputLength: number;
  readonly otherOutputLength: number;
  readonly pauseMs: number;
  /** The flood is broken off then; who has no first token yet has waited at least so long. */
  readonly deadlineMs: number;
}

const FULL: Sizes = {
  numFlooding: 100,
  numOther: 16,
  promptLength: 128,
  floodOutputLength: 64,
  otherOutputLength: 16,
  pauseMs: 500,
  deadlineMs: 100_000,
};
const QUICK: Sizes = { ...FULL, numFlooding: 40, numOther: 5, pauseMs: 50, deadlineMs: 10_000 };

/** Of all rounds. */
interface Found {
  readonly unloaded: RequestRecord[];
  readonly loaded: RequestRecord[];
  readonly flooding: RequestRecord[];
}

async function run(settings: ScenarioSettings): Promise<Findings> {
  const sizes = settings.isQuick ? QUICK : FULL;
  const server = await startHeadway(settings, { "--api-key": `${FLOODING_KEY},${OTHER_KEY}` });
  const flooding = new TokenClient(server.url, FLOODING_KEY);
  const other = new TokenClient(server.url, OTHER_KEY);
  try {
    const prompts = await createPromptSource(server.url, { key: OTHER_KEY });
    await other.complete({ prompt: prompts.next(sizes.promptLength), maxTokens: sizes.otherOutputLength });
    const found: Found = { unloaded: [], loaded: [], flooding: [] };
    for (let round = 0; round < settings.numRounds; round++) {
      // What a flood leaves behind must not be taken for the unloaded server.
      await sleep(sizes.pauseMs);
      found.unloaded.push(...(await sendInTurn(other, prompts, sizes)));
      const stopFlood = flood(flooding, prompts, sizes);
      await sleep(sizes.pauseMs);
      found.loaded.push(...(await sendInTurn(other, prompts, sizes)));
      found.flooding.push(...(await stopFlood()));
    }
    return findingsOf(found);
  } finally {
    for (const client of [flooding, other]) client.close();
    await server.stop();
  }
}

/** Everything at once; the returned function breaks it off. */
function flood(client: TokenClient, prompts: PromptSource, sizes: Sizes): () => Promise<RequestRecord[]> {
  const stop = new AbortController();
  const answers = Array.from({ length: sizes.numFlooding }, async () => {
    const prompt = prompts.next(sizes.promptLength);
    const request = { prompt, maxTokens: sizes.floodOutputLength, signal: stop.signal };
    return (await client.complete(request)).record;
  });
  return async () => {
    stop.abort();
    return Promise.all(answers);
  };
}

/** One request after the other until all are sent or time is up. */
async function sendInTurn(
  client: TokenClient,
  prompts: PromptSource,
  sizes: Sizes,
): Promise<RequestRecord[]> {
  const signal = AbortSignal.timeout(sizes.deadlineMs);
  const records: RequestRecord[] = [];
  while (records.length < sizes.numOther && !signal.aborted) {
    const prompt = prompts.next(sizes.promptLength);
    const { record } = await client.complete({ prompt, maxTokens: sizes.otherOutputLength, signal });
    records.push(record);
    await sleep(sizes.pauseMs);
  }
  return records;
}

/** A request broken off while it waited counts with the time it had waited. */
function ttfts(records: readonly RequestRecord[]): Distribution {
  return distributionOf(
    records.map((record) => requestMetrics(record).ttftMs ?? record.endMs - record.scheduledMs),
  );
}

function findingsOf({ unloaded, loaded, flooding }: Found): Findings {
  const steps = tokenGaps(flooding, { startMs: 0, endMs: Infinity });
  const limitMs = 2 * ttfts(unloaded).percentile(99) + steps.percentile(50);
  const numServed = loaded.filter(({ outcome }) => outcome === "ok").length;
  return {
    rows: [
      row("other tenant, alone", unloaded),
      row("other tenant, during the flood", loaded),
      { ...row("flooding tenant", flooding), "step p50 ms": steps.percentile(50) },
    ],
    goals: [
      atMost(
        "TTFT p99 ms during the flood (limit: 2 x alone + a step)",
        ttfts(loaded).percentile(99),
        limitMs,
      ),
      atLeast("requests of the other tenant served during the flood", numServed, unloaded.length),
    ],
  };
}

function row(side: string, records: readonly RequestRecord[]): Row {
  const times = ttfts(records);
  return {
    side,
    sent: records.length,
    complete: records.filter(({ outcome }) => outcome === "ok").length,
    "TTFT p50 ms": times.percentile(50),
    "TTFT p99 ms": times.percentile(99),
  };
}

await runScenario({
  name: "fairness",
  purpose: "one tenant floods 100 requests, another sends one at a time",
  numRounds: 2,
  run,
});
