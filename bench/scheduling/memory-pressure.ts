/*
 * A KV pool for four requests, thirty-two offered at once, half of which begin alike; then the same with the engine killed
 * ten times.
 * With --server-option=--deterministic every request has a slice of its own, so none is ever short of memory. There half of
 * the requests are urgent and arrive one after the other, which parks those that run, and the outputs must also equal
 * those of an unloaded server without prefix cache.
 * Run: npm run bench:memory-pressure -- --model FILE [--json FILE]
 */
import { setTimeout as sleep } from "node:timers/promises";

import { atLeast, atMost, ratio, type Goal } from "./goal.ts";
import { kvMemoryFor, startHeadway, type ServeOptions } from "./headway-server.ts";
import { killEngines } from "./kill-engines.ts";
import { computedPrefillTokens, growth, scrape } from "./prometheus.ts";
import { createPromptSource } from "./prompt-source.ts";
import { runScenario, type Findings, type Row, type ScenarioSettings } from "./scenario.ts";
import { TokenClient, type Answer } from "./token-client.ts";

const NUM_OFFERED = 32;
const NUM_FITTING = 4;
const MAX_MODEL_LEN = 256;
const NUM_KILLS = 10;
const POLL_MS = 20;

const isDeterministic = process.argv.includes("--server-option=--deterministic");

interface Sizes {
  readonly promptLength: number;
  /** How much of it the prompts that begin alike have in common; whole blocks. */
  readonly prefixLength: number;
  readonly outputLength: number;
}

/** Four of either fill a whole number of 256 cells, which is how the library sizes its cache. */
const FULL: Sizes = { promptLength: 96, prefixLength: 48, outputLength: 96 };
const QUICK: Sizes = { promptLength: 32, prefixLength: 16, outputLength: 32 };

interface Pressure {
  readonly name: string;
  readonly answers: readonly Answer[];
  readonly seconds: number;
  readonly numRestarts: number;
  readonly numPreemptions: number | null;
  readonly numParks: number | null;
  /** Part of all prefill that computed something a second time. */
  readonly recomputeShare: number | null;
}

async function run(settings: ScenarioSettings): Promise<Findings> {
  const sizes = settings.isQuick ? QUICK : FULL;
  // The mode gives every request a slice of its own.
  const tokensEach = isDeterministic ? MAX_MODEL_LEN : sizes.promptLength + sizes.outputLength;
  const options = {
    "--kv-memory": await kvMemoryFor(settings.modelPath, NUM_FITTING * tokensEach),
    "--max-model-len": MAX_MODEL_LEN,
    "--max-num-seqs": 16,
  };
  const prompts = await createPrompts(settings, options, sizes);
  const calm = await pressed(settings, options, {
    name: isDeterministic ? "16 at once, 16 in turns" : "32 at once",
    prompts,
    sizes,
    numKills: 0,
  });
  const killed = await pressed(settings, options, {
    name: "with engine kills",
    prompts,
    sizes,
    numKills: NUM_KILLS,
  });
  const goals = [calm, killed].flatMap((each) => goalsOf(each, sizes));
  if (isDeterministic) {
    // Without a cache: what hits it must give the same outputs too.
    const serverOptions = [...settings.serverOptions, "--no-prefix-cache"];
    const alone = await unloaded({ ...settings, serverOptions }, options, prompts, sizes);
    goals.push(...[calm, killed].map((each) => sameOutputs(each, alone)));
  }
  return { rows: [calm, killed].map((each) => row(each, sizes)), goals };
}

async function createPrompts(
  settings: ScenarioSettings,
  options: ServeOptions,
  sizes: Sizes,
): Promise<number[][]> {
  const server = await startHeadway(settings, options);
  try {
    const source = await createPromptSource(server.url);
    const prefix = source.next(sizes.prefixLength);
    return Array.from({ length: NUM_OFFERED }, (_, index) => {
      const prompt = source.next(sizes.promptLength);
      return beginsAlike(index) ? [...prefix, ...prompt.slice(prefix.length)] : prompt;
    });
  } finally {
    await server.stop();
  }
}

interface PressureOptions {
  readonly name: string;
  readonly prompts: readonly number[][];
  readonly sizes: Sizes;
  readonly numKills: number;
}

async function pressed(
  settings: ScenarioSettings,
  options: ServeOptions,
  { name, prompts, sizes, numKills }: PressureOptions,
): Promise<Pressure> {
  const server = await startHeadway(settings, options);
  const client = new TokenClient(server.url);
  try {
    const before = await scrape(server.url);
    const startMs = client.now();
    const received = prompts.map(() => 0);
    const over = new AbortController();
    const numReceived = (): number => received.reduce((sum, numTokens) => sum + numTokens, 0);
    const running = Promise.all(
      prompts.map(async (prompt, index) => {
        const onText = (numTokens: number): void => void (received[index] = numTokens);
        const { outputLength: maxTokens } = sizes;
        // The tokens of the others are half of all, so the turn of each comes.
        while (isUrgent(index) && numReceived() < (index * maxTokens) / 2) await sleep(POLL_MS);
        const extraBody = { priority: isUrgent(index) ? -100 : 0 };
        const answer = await client.complete({ prompt, maxTokens, onText, extraBody });
        // Nothing more comes of it, not even where it has failed.
        received[index] = maxTokens;
        return answer;
      }),
    );
    const killing = killEngines(server, {
      numKills,
      numReceived,
      numExpected: NUM_OFFERED * sizes.outputLength,
      signal: over.signal,
    });
    const [answers, numRestarts] = await Promise.all([running.finally(() => over.abort()), killing]);
    const seconds = (client.now() - startMs) / 1000;
    const after = await scrape(server.url);
    const computed = computedPrefillTokens(before, after);
    return {
      name,
      answers,
      seconds,
      numRestarts,
      numPreemptions: growth(before, after, ["vllm:num_preemptions_total"]),
      numParks: growth(before, after, ["headway_preemptions_total", 'mode="swap"']),
      recomputeShare: computed === null ? null : 1 - numUniqueTokens(prompts, sizes) / computed,
    };
  } finally {
    client.close();
    await server.stop();
  }
}

/** Two of each four: in the deterministic mode one of them is urgent. */
function beginsAlike(index: number): boolean {
  return index % 4 < 2;
}

/** Every second one in the deterministic mode. */
function isUrgent(index: number): boolean {
  return isDeterministic && index % 2 === 1;
}

/** What has to be computed at least: the common beginning once. */
function numUniqueTokens(prompts: readonly number[][], { promptLength, prefixLength }: Sizes): number {
  const numAlike = prompts.filter((_, index) => beginsAlike(index)).length;
  return prompts.length * promptLength - (numAlike - 1) * prefixLength;
}

async function unloaded(
  settings: ScenarioSettings,
  options: ServeOptions,
  prompts: readonly number[][],
  sizes: Sizes,
): Promise<string[]> {
  const server = await startHeadway(settings, options);
  const client = new TokenClient(server.url);
  try {
    const texts: string[] = [];
    for (const prompt of prompts)
      texts.push((await client.complete({ prompt, maxTokens: sizes.outputLength })).text);
    return texts;
  } finally {
    client.close();
    await server.stop();
  }
}

function goalsOf({ name, answers, numRestarts, numParks }: Pressure, sizes: Sizes): Goal[] {
  const numComplete = answers.filter(({ record }) => isComplete(record, sizes)).length;
  const numFailed = answers.filter(({ record }) => record.outcome !== "ok").length;
  return [
    atLeast(`${name}: complete with all tokens`, numComplete, NUM_OFFERED),
    atMost(`${name}: errors`, numFailed, 0),
    ...(isDeterministic ? [atLeast(`${name}: parks`, numParks, 1)] : []),
    ...(name === "with engine kills" ? [atLeast(`${name}: engine restarts`, numRestarts, NUM_KILLS)] : []),
  ];
}

function isComplete({ outcome, outputTokens }: Answer["record"], { outputLength }: Sizes): boolean {
  return outcome === "ok" && outputTokens === outputLength;
}

function sameOutputs({ name, answers }: Pressure, alone: readonly string[]): Goal {
  const numSame = alone.filter((text, index) => text === answers[index]?.text).length;
  return atLeast(`${name}: of ${alone.length} outputs, as on an unloaded server`, numSame, alone.length);
}

function row({ name, answers, seconds, ...counts }: Pressure, sizes: Sizes): Row {
  const numCached = answers.reduce((sum, { record }) => sum + (record.cachedTokens ?? 0), 0);
  return {
    side: name,
    complete: answers.filter(({ record }) => isComplete(record, sizes)).length,
    "output tokens/s": ratio(answers.length * sizes.outputLength, seconds),
    preemptions: counts.numPreemptions,
    parks: counts.numParks,
    "recompute share": counts.recomputeShare,
    "cached prompt tokens": numCached,
    "engine restarts": counts.numRestarts,
  };
}

await runScenario({
  name: isDeterministic ? "memory-pressure-deterministic" : "memory-pressure",
  purpose: isDeterministic
    ? "rows for 4 requests, 32 offered, half of them urgent: all complete with the same outputs, also through 10 kills"
    : "memory for 4 requests, 32 offered: all complete, also through 10 kills of the engine",
  numRounds: 1,
  run,
});
