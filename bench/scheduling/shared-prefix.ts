/*
 * A system prompt that everybody sends. The same requests twice on one server, in turns: once free to share, once each
 * with a cache salt of its own, which forbids it.
 * Run: npm run bench:shared-prefix -- --model FILE [--json FILE]
 */
import type { RequestRecord } from "../load/request.ts";
import { Semaphore } from "../load/semaphore.ts";
import { distributionOf } from "../measure/distribution.ts";
import { requestMetrics } from "../measure/request-metrics.ts";
import { atLeast, atMost, ratio } from "./goal.ts";
import { startHeadway } from "./headway-server.ts";
import { mean } from "./mean.ts";
import { computedPrefillTokens, growth, scrape } from "./prometheus.ts";
import { createPromptSource, type PromptSource } from "./prompt-source.ts";
import { runScenario, type Findings, type Row, type ScenarioSettings } from "./scenario.ts";
import { TokenClient } from "./token-client.ts";

const CONCURRENCY = 8;

interface Sizes {
  readonly prefixLength: number;
  readonly tailLength: number;
  readonly outputLength: number;
  readonly numSharing: number;
  /** Without sharing all requests are alike, so that fewer show the rate. */
  readonly numApart: number;
}

const FULL: Sizes = { prefixLength: 1_000, tailLength: 64, outputLength: 64, numSharing: 32, numApart: 8 };
const QUICK: Sizes = { prefixLength: 200, tailLength: 32, outputLength: 8, numSharing: 16, numApart: 8 };

interface Burst {
  readonly numRequests: number;
  readonly tokensPerSecond: number;
  readonly ttftP50Ms: number;
  readonly numUniqueTokens: number;
  /** Prompt tokens less those that the server reports as cached. */
  readonly numLocalTokens: number | null;
  /** Prompt tokens in the steps of the engine. */
  readonly numComputedTokens: number | null;
}

async function run(settings: ScenarioSettings): Promise<Findings> {
  const sizes = settings.isQuick ? QUICK : FULL;
  const server = await startHeadway(settings);
  const client = new TokenClient(server.url);
  try {
    const prompts = await createPromptSource(server.url);
    await client.complete({ prompt: prompts.next(sizes.tailLength), maxTokens: sizes.outputLength });
    const sharing: Burst[] = [];
    const apart: Burst[] = [];
    for (let round = 0; round < settings.numRounds; round++) {
      apart.push(await burst(client, prompts, { ...sizes, numRequests: sizes.numApart, isSharing: false }));
      sharing.push(
        await burst(client, prompts, { ...sizes, numRequests: sizes.numSharing, isSharing: true }),
      );
    }
    return findingsOf(sharing, apart);
  } finally {
    client.close();
    await server.stop();
  }
}

interface BurstOptions extends Sizes {
  readonly numRequests: number;
  readonly isSharing: boolean;
}

/** All requests at once, through so many connections; a prefix that no earlier burst has used. */
async function burst(client: TokenClient, prompts: PromptSource, options: BurstOptions): Promise<Burst> {
  const { prefixLength, tailLength, outputLength, numRequests, isSharing } = options;
  const prefix = prompts.next(prefixLength);
  const places = new Semaphore(CONCURRENCY);
  const before = await scrape(client.url.origin);
  const startMs = client.now();
  const records = await Promise.all(
    Array.from({ length: numRequests }, async (_, index) => {
      await places.acquire();
      const extraBody = isSharing ? {} : { cache_salt: `apart-${startMs}-${index}` };
      const prompt = [...prefix, ...prompts.next(tailLength)];
      const { record } = await client.complete({ prompt, maxTokens: outputLength, extraBody });
      places.release();
      return requireComplete(record);
    }),
  );
  const seconds = (client.now() - startMs) / 1000;
  const after = await scrape(client.url.origin);
  return {
    numRequests,
    tokensPerSecond: (numRequests * outputLength) / seconds,
    ttftP50Ms: distributionOf(records.flatMap((record) => requestMetrics(record).ttftMs ?? [])).percentile(
      50,
    ),
    numUniqueTokens: isSharing
      ? prefixLength + numRequests * tailLength
      : numRequests * (prefixLength + tailLength),
    numLocalTokens: growth(before, after, ["vllm:prompt_tokens_by_source_total", 'source="local_compute"']),
    numComputedTokens: computedPrefillTokens(before, after),
  };
}

function requireComplete(record: RequestRecord): RequestRecord {
  if (record.outcome !== "ok" || record.outputTokens !== record.maxTokens)
    throw new Error(`a request failed: ${record.errorMessage ?? `${record.outputTokens} tokens`}`);
  return record;
}

function findingsOf(sharing: readonly Burst[], apart: readonly Burst[]): Findings {
  const work = (count: (burst: Burst) => number | null): number | null =>
    mean(sharing.map((each) => ratio(count(each), each.numUniqueTokens)));
  const speed = (bursts: readonly Burst[]): number | null =>
    mean(bursts.map(({ tokensPerSecond }) => tokensPerSecond));
  return {
    rows: [...apart.map((each) => row("apart", each)), ...sharing.map((each) => row("sharing", each))],
    goals: [
      atMost(
        "prefill work, as requests report it / unique tokens",
        work((each) => each.numLocalTokens),
        1.1,
      ),
      atMost(
        "prefill work, as steps count it / unique tokens",
        work((each) => each.numComputedTokens),
        1.1,
      ),
      atLeast("output tokens/s, sharing / apart", ratio(speed(sharing), speed(apart)), 3),
    ],
  };
}

function row(side: string, found: Burst): Row {
  return {
    side,
    requests: found.numRequests,
    "output tokens/s": found.tokensPerSecond,
    "TTFT p50 ms": found.ttftP50Ms,
    "unique prompt tokens": found.numUniqueTokens,
    "not cached": found.numLocalTokens,
    computed: found.numComputedTokens,
  };
}

await runScenario({
  name: "shared-prefix",
  purpose: "32 requests that share a 1,000-token prefix, arriving together, 8 at a time",
  numRounds: 2,
  run,
});
