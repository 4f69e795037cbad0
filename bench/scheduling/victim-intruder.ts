/*
 * Long prompts beside decoding streams. One load on several servers in turns: Headway with its default ITL target and with
 * one of three plain decode steps, both also in the streams layout (a slice for each sequence, which is how llama-server
 * lays out memory); with a target so long that prefill calls are as large as they can be (512 tokens); and llama-server,
 * whose steps take up to 2,048 tokens of a prompt.
 * Run: npm run bench:victim-intruder -- --model FILE [--llama-server FILE] [--json FILE]
 */
import { setTimeout as sleep } from "node:timers/promises";

import { Distribution } from "../measure/distribution.ts";
import { requestMetrics } from "../measure/request-metrics.ts";
import type { Window } from "../measure/window.ts";
import { knownPeers } from "../peers/known-peers.ts";
import { startPeer } from "../peers/peer.ts";
import { DecodeStreams, longestStallMs, tokenGaps } from "./decode-streams.ts";
import { atMost, ratio, type Goal } from "./goal.ts";
import { kvMemoryFor, startHeadway, type ServeOptions } from "./headway-server.ts";
import { mean } from "./mean.ts";
import { createPromptSource, type PromptSource } from "./prompt-source.ts";
import { runScenario, type Findings, type Row, type ScenarioSettings } from "./scenario.ts";
import { TokenClient } from "./token-client.ts";

const NUM_VICTIMS = 8;
const NUM_INTRUDERS = 2;
const SETTLE_MS = 1_000;
const TARGET_IN_DECODE_STEPS = 3;
/** No step takes as long. */
const UNCUT_TARGET_ITL_MS = 60_000;
const POOL_TOKENS = 16_384;
/** Of a slice or a slot, where sequences have one each. */
const SLICE_TOKENS = 2_048;
const NUM_SLICES = NUM_VICTIMS + NUM_INTRUDERS;
/** Part of the time that long prompts take at most, alone: a slow machine gets them less often, or they would pile up. */
const MAX_LOAD = 0.75;

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
  /** Over all rounds. */
  readonly gaps: Distribution;
  readonly ttfts: Distribution;
  stallMs: number;
}

interface Baseline {
  readonly decodeStepMs: number;
  readonly aloneTtftMs: number;
}

async function run(settings: ScenarioSettings): Promise<Findings> {
  const sizes = settings.isQuick ? QUICK : FULL;
  const paged: ServeOptions = {
    "--kv-layout": "paged",
    "--kv-memory": await kvMemoryFor(settings.modelPath, POOL_TOKENS),
  };
  const sides: Side[] = [];
  const start = async (name: string, options: ServeOptions): Promise<Side> => {
    const side = sideOf(name, await startHeadway(settings, { ...paged, ...options }));
    sides.push(side);
    return side;
  };
  try {
    const byDefault = await start("default target", {});
    const prompts = await createPromptSource(byDefault.client.url.origin);
    const baseline = await measureBaseline(byDefault.client, prompts, sizes);
    const targetMs = TARGET_IN_DECODE_STEPS * baseline.decodeStepMs;
    const streams: ServeOptions = {
      "--kv-layout": "streams",
      "--max-num-seqs": NUM_SLICES,
      "--kv-memory": await kvMemoryFor(settings.modelPath, NUM_SLICES * SLICE_TOKENS),
    };
    const inStreams = await start("default target, streams", streams);
    const target: ServeOptions = { "--target-itl-ms": targetMs };
    const targeted = await start("3 steps", target);
    const targetedInStreams = await start("3 steps, streams", { ...streams, ...target });
    await start("largest calls", { "--target-itl-ms": UNCUT_TARGET_ITL_MS });
    const oneShot =
      settings.llamaServer === null ? null : await startLlamaServer(settings, settings.llamaServer);
    if (oneShot !== null) sides.push(oneShot);
    const load = { ...sizes, intervalMs: Math.max(sizes.intervalMs, baseline.aloneTtftMs / MAX_LOAD) };
    for (let round = 0; round < settings.numRounds; round++) {
      // Idle servers use no CPU; every second round goes backwards, so that drift hits all sides alike.
      for (const side of round % 2 === 0 ? sides : sides.toReversed()) await observe(side, prompts, load);
    }
    return {
      rows: [{ ...baselineRow(baseline, load), "3 steps ms": targetMs }, ...sides.map(sideRow)],
      goals: [
        ...[targeted, targetedInStreams].flatMap((side) => goalsWith(targetMs, side, baseline)),
        // It prefills a prompt of this length in one step.
        ...[byDefault, inStreams].flatMap((side) => goalsAgainst("llama-server", side, oneShot)),
      ],
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
  const server = await startPeer(peer, {
    modelPath,
    threads: numThreads,
    contextPerSequence: SLICE_TOKENS,
    numSequences: NUM_SLICES,
  });
  return sideOf("llama-server", server);
}

function sideOf(name: string, { url, stop }: { url: string; stop: () => Promise<void> }): Side {
  return {
    name,
    client: new TokenClient(url),
    stop,
    gaps: new Distribution(),
    ttfts: new Distribution(),
    stallMs: 0,
  };
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
  return { decodeStepMs, aloneTtftMs: mean(ttftsMs) as number };
}

/** Eight streams; long prompts at fixed times whatever becomes of the ones before. */
async function observe(side: Side, prompts: PromptSource, sizes: Sizes): Promise<void> {
  const { client } = side;
  const streams = await DecodeStreams.start(client, prompts, {
    numStreams: NUM_VICTIMS,
    maxTokens: sizes.maxVictimTokens,
  });
  await sleep(SETTLE_MS);
  const startMs = client.now();
  const intruders = Array.from({ length: NUM_INTRUDERS }, async (_, index) => {
    await sleep(index * sizes.intervalMs);
    side.ttfts.add(await intrude(client, prompts.next(sizes.intruderLength)));
  });
  await Promise.all(intruders);
  await sleep(Math.max(0, startMs + NUM_INTRUDERS * sizes.intervalMs - client.now()));
  const window: Window = { startMs, endMs: client.now() };
  const records = await streams.stop();
  tokenGaps(records, window, side.gaps);
  side.stallMs = Math.max(side.stallMs, longestStallMs(records, window));
}

/** Resolves to the time to the first token. */
async function intrude(client: TokenClient, prompt: readonly number[]): Promise<number> {
  const { record } = await client.complete({ prompt, maxTokens: 2 });
  const { ttftMs } = requestMetrics(record);
  if (ttftMs === null) throw new Error(`a long prompt failed: ${record.errorMessage ?? "no text"}`);
  return ttftMs;
}

function baselineRow({ decodeStepMs, aloneTtftMs }: Baseline, { intervalMs }: Sizes): Row {
  return {
    side: "each alone",
    "every ms": intervalMs,
    "ITL p50 ms": decodeStepMs,
    "TTFT mean ms": aloneTtftMs,
  };
}

function sideRow({ name, gaps, stallMs, ttfts }: Side): Row {
  return {
    side: name,
    "ITL p50 ms": gaps.percentile(50),
    "ITL p99 ms": gaps.percentile(99),
    "longest stall ms": stallMs,
    "TTFT mean ms": meanOf(ttfts),
    "TTFT max ms": ttfts.percentile(100),
  };
}

function goalsWith(targetMs: number, side: Side, { aloneTtftMs }: Baseline): Goal[] {
  return [
    atMost(`ITL p99 / target, ${side.name}`, ratio(side.gaps.percentile(99), targetMs), 1.3),
    atMost(`longest stall / target, ${side.name}`, ratio(side.stallMs, targetMs), 2),
    atMost(`TTFT / alone, ${side.name}`, ratio(meanOf(side.ttfts), aloneTtftMs), 1.5),
  ];
}

/** The other side may not have taken part. */
function goalsAgainst(name: string, side: Side, other: Side | null): Goal[] {
  const itl = ratio(side.gaps.percentile(99), other?.gaps.percentile(99) ?? null);
  const ttft = ratio(meanOf(side.ttfts), other === null ? null : meanOf(other.ttfts));
  return [
    atMost(`ITL p99, ${side.name} / ${name}`, itl, 0.1),
    atMost(`TTFT, ${side.name} / ${name}`, ttft, 1.25),
  ];
}

/** A handful of prompts have no percentiles worth the name. */
function meanOf(distribution: Distribution): number | null {
  return distribution.summary()?.mean ?? null;
}

await runScenario({
  name: "victim-intruder",
  purpose: "8 decoding streams and a 1,500-token prompt every 4 s: gaps of the streams, TTFT of the prompts",
  numRounds: 2,
  run,
});
