/*
 * Long prompts beside decoding streams. One load on several servers in turns: Headway with its default ITL target,
 * with a target of three plain decode steps, with a target so long that prefill is never cut, and llama-server.
 * Run: npm run bench:victim-intruder -- --model FILE [--llama-server FILE] [--json FILE]
 */
import { setTimeout as sleep } from "node:timers/promises";

import { distributionOf, type Distribution } from "../measure/distribution.ts";
import { requestMetrics } from "../measure/request-metrics.ts";
import type { Window } from "../measure/window.ts";
import { knownPeers } from "../peers/known-peers.ts";
import { startPeer } from "../peers/peer.ts";
import { DecodeStreams, longestStallMs, tokenGaps } from "./decode-streams.ts";
import { atMost, ratio, type Goal } from "./goal.ts";
import { kvMemoryFor, startHeadway } from "./headway-server.ts";
import { createPromptSource, type PromptSource } from "./prompt-source.ts";
import { runScenario, type Findings, type Row, type ScenarioSettings } from "./scenario.ts";
import { TokenClient } from "./token-client.ts";

const NUM_VICTIMS = 8;
const NUM_INTRUDERS = 2;
const SETTLE_MS = 1_000;
const TARGET_IN_DECODE_STEPS = 3;
/** No step takes as long, so a prompt is prefilled in the largest calls there are. */
const UNCUT_TARGET_ITL_MS = 60_000;
const POOL_TOKENS = 16_384;

interface Sizes {
  readonly intruderLength: number;
  readonly intervalMs: number;
  readonly maxVictimTokens: number;
}

const FULL: Sizes = { intruderLength: 1_500, intervalMs: 4_000, maxVictimTokens: 1_400 };
const QUICK: Sizes = { intruderLength: 600, intervalMs: 800, maxVictimTokens: 1_400 };

/** A server under this load, and what has been seen of it. */
interface Side {
  readonly name: string;
  readonly client: TokenClient;
  readonly stop: () => Promise<void>;
  readonly windows: ObservedWindow[];
}

interface ObservedWindow {
  readonly gaps: Distribution;
  readonly stallMs: number;
  readonly ttftsMs: readonly number[];
}

interface Baseline {
  readonly decodeStepMs: number;
  readonly aloneTtftMs: number;
}

async function run(settings: ScenarioSettings): Promise<Findings> {
  const sizes = settings.isQuick ? QUICK : FULL;
  const kvMemory = await kvMemoryFor(settings.modelPath, POOL_TOKENS);
  const sides: Side[] = [];
  const start = async (name: string, options: Record<string, number>): Promise<Side> => {
    const server = await startHeadway(settings, { "--kv-memory": kvMemory, ...options });
    const side = { name, client: new TokenClient(server.url), stop: server.stop, windows: [] };
    sides.push(side);
    return side;
  };
  try {
    const byDefault = await start("default target", {});
    const prompts = await createPromptSource(byDefault.client.url.origin);
    const baseline = await measureBaseline(byDefault.client, prompts, sizes);
    const targetMs = TARGET_IN_DECODE_STEPS * baseline.decodeStepMs;
    await start(`target ${targetMs.toFixed(0)} ms`, { "--target-itl-ms": targetMs });
    await start("one-shot prefill", { "--target-itl-ms": UNCUT_TARGET_ITL_MS });
    if (settings.llamaServer !== null) sides.push(await startLlamaServer(settings, settings.llamaServer));
    for (let round = 0; round < settings.numRounds; round++) {
      // Idle servers use no CPU; every second round goes backwards, so that drift hits all sides alike.
      for (const side of round % 2 === 0 ? sides : sides.toReversed())
        side.windows.push(await observe(side.client, prompts, sizes));
    }
    return {
      rows: [baselineRow(baseline), ...sides.map(sideRow)],
      goals: goalsOf(sides, baseline, targetMs),
    };
  } finally {
    for (const { client, stop } of sides) {
      client.close();
      await stop();
    }
  }
}

async function startLlamaServer({ modelPath, numThreads }: ScenarioSettings, file: string): Promise<Side> {
  const peer = knownPeers({ LLAMA_SERVER: file }).get("llama-server");
  if (peer === undefined) throw new Error("llama-server is no known peer");
  const { url, stop } = await startPeer(peer, {
    modelPath,
    threads: numThreads,
    contextPerSequence: POOL_TOKENS / NUM_VICTIMS,
    numSequences: NUM_VICTIMS + NUM_INTRUDERS,
  });
  return { name: "llama-server", client: new TokenClient(url), stop, windows: [] };
}

/** What a decode step takes with nobody else there, and a long prompt with nobody else there. */
async function measureBaseline(client: TokenClient, prompts: PromptSource, sizes: Sizes): Promise<Baseline> {
  await client.complete({ prompt: prompts.next(64), maxTokens: 8 });
  const streams = await DecodeStreams.start(client, prompts, { numStreams: NUM_VICTIMS, maxTokens: 1_000 });
  const startMs = client.now();
  await sleep(2 * SETTLE_MS);
  const window = { startMs, endMs: client.now() };
  const decodeStepMs = tokenGaps(await streams.stop(), window).percentile(50);
  const ttftsMs: number[] = [];
  for (let count = 0; count < NUM_INTRUDERS; count++)
    ttftsMs.push(await intrude(client, prompts.next(sizes.intruderLength)));
  return { decodeStepMs, aloneTtftMs: distributionOf(ttftsMs).percentile(50) };
}

/** Eight streams; long prompts at fixed times whatever becomes of the ones before. */
async function observe(client: TokenClient, prompts: PromptSource, sizes: Sizes): Promise<ObservedWindow> {
  const streams = await DecodeStreams.start(client, prompts, {
    numStreams: NUM_VICTIMS,
    maxTokens: sizes.maxVictimTokens,
  });
  await sleep(SETTLE_MS);
  const startMs = client.now();
  const ttftsMs = await Promise.all(
    Array.from({ length: NUM_INTRUDERS }, async (_, index) => {
      await sleep(index * sizes.intervalMs);
      return intrude(client, prompts.next(sizes.intruderLength));
    }),
  );
  await sleep(Math.max(0, startMs + NUM_INTRUDERS * sizes.intervalMs - client.now()));
  const window: Window = { startMs, endMs: client.now() };
  const records = await streams.stop();
  return { gaps: tokenGaps(records, window), stallMs: longestStallMs(records, window), ttftsMs };
}

/** Resolves to the time to the first token. */
async function intrude(client: TokenClient, prompt: readonly number[]): Promise<number> {
  const { record } = await client.complete({ prompt, maxTokens: 2 });
  const { ttftMs } = requestMetrics(record);
  if (ttftMs === null) throw new Error(`a long prompt failed: ${record.errorMessage ?? "no text"}`);
  return ttftMs;
}

function baselineRow({ decodeStepMs, aloneTtftMs }: Baseline): Row {
  return { side: "each alone", "ITL p50 ms": decodeStepMs, "TTFT p50 ms": aloneTtftMs };
}

function sideRow(side: Side): Row {
  const { gaps, stallMs, ttfts } = summaryOf(side);
  return {
    side: side.name,
    "ITL p50 ms": gaps.p50,
    "ITL p99 ms": gaps.p99,
    "longest stall ms": stallMs,
    "TTFT p50 ms": ttfts.percentile(50),
    "TTFT max ms": ttfts.percentile(100),
  };
}

/** Percentiles are medians over the rounds, the longest stall is that of all. */
function summaryOf({ windows }: Side): {
  gaps: { p50: number; p99: number };
  stallMs: number;
  ttfts: Distribution;
} {
  const overRounds = (percent: number): number =>
    distributionOf(windows.map(({ gaps }) => gaps.percentile(percent))).percentile(50);
  return {
    gaps: { p50: overRounds(50), p99: overRounds(99) },
    stallMs: Math.max(...windows.map(({ stallMs }) => stallMs)),
    ttfts: distributionOf(windows.flatMap(({ ttftsMs }) => ttftsMs)),
  };
}

function goalsOf(sides: readonly Side[], { aloneTtftMs }: Baseline, targetMs: number): Goal[] {
  const [byDefault, targeted, uncut, llamaServer] = sides.map(summaryOf);
  if (byDefault === undefined || targeted === undefined) return [];
  return [
    atMost("ITL p99 / target", ratio(targeted.gaps.p99, targetMs), 1.3),
    atMost("longest stall / target", ratio(targeted.stallMs, targetMs), 2),
    atMost("TTFT p50 / alone, with that target", ratio(targeted.ttfts.percentile(50), aloneTtftMs), 1.5),
    ...[
      { name: "one-shot prefill", other: uncut },
      { name: "llama-server", other: llamaServer },
    ].flatMap(({ name, other }) => [
      atMost(
        `ITL p99, default target / ${name}`,
        other === undefined ? null : ratio(byDefault.gaps.p99, other.gaps.p99),
        0.1,
      ),
      atMost(
        `TTFT p50, default target / ${name}`,
        other === undefined ? null : ratio(byDefault.ttfts.percentile(50), other.ttfts.percentile(50)),
        1.25,
      ),
    ]),
  ];
}

await runScenario({
  name: "victim-intruder",
  purpose: "8 decoding streams and a 1,500-token prompt every 4 s: gaps of the streams, TTFT of the prompts",
  numRounds: 2,
  run,
});
