/*
 * First come, first streamed: bursts of equal requests on Headway and on llama-server, as shipped and with one unified
 * cache. The servers take turns, one alive at a time; a ratio is the median of the rounds' ratios, so that a machine that
 * changes its speed between rounds changes both sides of each.
 * Run: npm run bench:first-come -- --model FILE --llama-server FILE [--json FILE]
 */
import type { RequestRecord } from "../load/request.ts";
import { distributionOf } from "../measure/distribution.ts";
import { requestMetrics } from "../measure/request-metrics.ts";
import { knownPeers } from "../peers/known-peers.ts";
import { startPeer, type Peer } from "../peers/peer.ts";
import { atLeast, atMost, ratio, type Goal } from "./goal.ts";
import { mean } from "./mean.ts";
import { createPromptSource, type PromptSource } from "./prompt-source.ts";
import { runScenario, type Findings, type Row, type ScenarioSettings } from "./scenario.ts";
import { TokenClient } from "./token-client.ts";

const BURST_SIZES = [1, 4, 16] as const;
/** Of each size in a turn: small bursts are short, so more of them make a figure as sure as a large one's. */
const NUM_BURSTS = { 1: 4, 4: 2, 16: 1 } as const;
const NUM_SEQUENCES = 16;
const CONTEXT_PER_SEQUENCE = 2_048;
const PEERS = ["headway", "llama-server", "llama-server-unified"] as const;

type PeerName = (typeof PEERS)[number];
type BurstSize = (typeof BURST_SIZES)[number];

interface Sizes {
  readonly promptLength: number;
  readonly outputLength: number;
}

const FULL: Sizes = { promptLength: 128, outputLength: 64 };
const QUICK: Sizes = { promptLength: 32, outputLength: 16 };

interface Burst {
  readonly round: number;
  readonly peer: PeerName;
  readonly size: BurstSize;
  readonly tokensPerSecond: number;
  readonly ttftP50Ms: number;
}

async function run(settings: ScenarioSettings): Promise<Findings> {
  const names: readonly PeerName[] = settings.llamaServer === null ? ["headway"] : PEERS;
  const bursts: Burst[] = [];
  for (let round = 0; round < settings.numRounds; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed())
      bursts.push(...(await takeTurn(name, settings, round)));
  }
  return {
    rows: BURST_SIZES.flatMap((size) => names.map((name) => row(bursts, name, size))),
    goals: goalsOf(bursts),
  };
}

async function takeTurn(name: PeerName, settings: ScenarioSettings, round: number): Promise<Burst[]> {
  const sizes = settings.isQuick ? QUICK : FULL;
  const server = await startPeer(peerOf(name, settings), {
    modelPath: settings.modelPath,
    threads: settings.numThreads,
    contextPerSequence: CONTEXT_PER_SEQUENCE,
    numSequences: NUM_SEQUENCES,
  });
  const client = new TokenClient(server.url);
  try {
    const prompts = await createPromptSource(server.url, { seed: round });
    await client.complete({ prompt: prompts.next(sizes.promptLength), maxTokens: sizes.outputLength });
    const bursts: Burst[] = [];
    for (const size of BURST_SIZES) {
      for (let count = 0; count < NUM_BURSTS[size]; count++)
        bursts.push({ round, peer: name, size, ...(await burst(client, prompts, { ...sizes, size })) });
    }
    return bursts;
  } finally {
    client.close();
    await server.stop();
  }
}

function peerOf(name: PeerName, { llamaServer }: ScenarioSettings): Peer {
  const peer = knownPeers({ ...process.env, LLAMA_SERVER: llamaServer ?? undefined }).get(name);
  if (peer === undefined) throw new Error(`no peer is named ${name}`);
  return peer;
}

async function burst(
  client: TokenClient,
  prompts: PromptSource,
  { promptLength, outputLength, size }: Sizes & { size: BurstSize },
): Promise<Pick<Burst, "tokensPerSecond" | "ttftP50Ms">> {
  const requests = Array.from({ length: size }, () => ({
    prompt: prompts.next(promptLength),
    maxTokens: outputLength,
  }));
  const startMs = client.now();
  const answers = await Promise.all(requests.map((request) => client.complete(request)));
  const seconds = (client.now() - startMs) / 1000;
  return {
    tokensPerSecond: (size * outputLength) / seconds,
    ttftP50Ms: distributionOf(answers.map(({ record }) => ttftOf(record))).percentile(50),
  };
}

function ttftOf(record: RequestRecord): number {
  const { ttftMs } = requestMetrics(record);
  if (record.outcome !== "ok" || ttftMs === null)
    throw new Error(`a request failed: ${record.errorMessage ?? "no text"}`);
  return ttftMs;
}

/** Over the rounds; null where the peer did not take part. */
function meanOf(
  bursts: readonly Burst[],
  { peer, size }: Pick<Burst, "peer" | "size">,
  value: (burst: Burst) => number,
): number | null {
  return mean(bursts.filter((each) => each.peer === peer && each.size === size).map(value));
}

function goalsOf(bursts: readonly Burst[]): Goal[] {
  const peer = "llama-server";
  const unified = "llama-server-unified";
  return [
    atMost("TTFT p50 at 16 / llama-server", medianRatio(bursts, { peer, size: 16 }, ttftP50), 0.6),
    atLeast("tokens/s at 1 / llama-server", medianRatio(bursts, { peer, size: 1 }, speed), 1),
    atLeast("tokens/s at 4 / llama-server", medianRatio(bursts, { peer, size: 4 }, speed), 1),
    atLeast("tokens/s at 16 / llama-server -kvu", medianRatio(bursts, { peer: unified, size: 16 }, speed), 1),
  ];
}

/** Headway's value over the peer's, round by round; null where the peer did not take part. */
function medianRatio(
  bursts: readonly Burst[],
  { peer, size }: Pick<Burst, "peer" | "size">,
  value: (burst: Burst) => number,
): number | null {
  const rounds = [...new Set(bursts.map(({ round }) => round))];
  const ratios = rounds.flatMap((round) => {
    const ofRound = bursts.filter((each) => each.round === round);
    const ours = meanOf(ofRound, { peer: "headway", size }, value);
    return ratio(ours, meanOf(ofRound, { peer, size }, value)) ?? [];
  });
  return ratios.length === 0 ? null : distributionOf(ratios).percentile(50);
}

const speed = ({ tokensPerSecond }: Burst): number => tokensPerSecond;
const ttftP50 = ({ ttftP50Ms }: Burst): number => ttftP50Ms;

function row(bursts: readonly Burst[], peer: PeerName, size: BurstSize): Row {
  return {
    side: `${peer}, ${size} at once`,
    "output tokens/s": meanOf(bursts, { peer, size }, speed),
    "TTFT p50 ms": meanOf(bursts, { peer, size }, ttftP50),
  };
}

await runScenario({
  name: "first-come",
  purpose: "bursts of 1, 4 and 16 requests of 128 tokens, 64 out: TTFT and throughput beside llama-server",
  numRounds: 6,
  run,
});
