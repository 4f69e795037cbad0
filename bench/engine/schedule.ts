/**
 * Time of Scheduler.schedule() and update() at 256 running and 10,000 waiting sequences, without a model.
 * Run: npm run bench:schedule -- [--json FILE]
 *
 * Method: tokens are drawn at once and outputs are of mixed length, so that about every second step some sequence
 * finishes and another is admitted. 200 warm-up steps, then 3,000 measured ones. Garbage collection counts as far as
 * the thread waits for it; see `elapsedUs`.
 */
import { KvCacheManager } from "../../kvcache/kv-cache-manager.ts";
import type { Batch, BatchResult, SequenceRequest } from "../../scheduler/contracts.ts";
import { GREEDY_SAMPLING } from "../../scheduler/sampling-params.ts";
import { Scheduler } from "../../scheduler/scheduler.ts";
import { distributionOf } from "../measure/distribution.ts";
import { atMost, type Goal } from "../scheduling/goal.ts";
import { runScenario, type Row } from "../scheduling/scenario.ts";

const NUM_RUNNING = 256;
const NUM_WAITING = 10_000;
const NUM_WARM_UP_STEPS = 200;
const NUM_STEPS = 3_000;
const QUICK_NUM_STEPS = 300;
const MAX_SCHEDULE_US = 200;
const PROMPT_LENGTH = 200;
const MAX_MODEL_LEN = 1_024;

/** `sharedLength` leading tokens are the same in all prompts. */
function createRequest(index: number, sharedLength: number): SequenceRequest {
  const tokens = Array.from({ length: PROMPT_LENGTH }, (_, position) =>
    position < sharedLength ? position : 1_000 + ((index * 7_919 + position) % 30_000),
  );
  return {
    requestId: `request-${index}`,
    tokens,
    numReplayedTokens: 0,
    sampling: GREEDY_SAMPLING,
    maxTokens: 64 + ((index * 131) % 512),
    priority: 0,
    tenantId: "",
    cacheSalt: "",
  };
}

function sampleAll(batch: Batch): BatchResult {
  const samples = batch.rows
    .filter((row) => row.sample)
    .map(({ sequence }) => ({
      requestId: sequence.requestId,
      tokenId: 1 + (sequence.tokens.length % 1_000),
      logprob: null,
      topLogprobs: [],
    }));
  return { samples, promptLogprobs: [] };
}

interface Times {
  readonly scheduleUs: number[];
  readonly updateUs: number[];
  numRows: number;
}

function step(scheduler: Scheduler, times: Times | null): void {
  const start = now();
  const plan = scheduler.schedule(0);
  const scheduleUs = elapsedUs(start);
  let updateUs = 0;
  for (const batch of plan?.batches ?? []) {
    const result = sampleAll(batch);
    const before = now();
    scheduler.update(batch, result, 0, batch.kind === "decode" ? 5 : 10);
    updateUs += elapsedUs(before);
    if (times !== null) times.numRows += batch.rows.length;
  }
  times?.scheduleUs.push(scheduleUs);
  times?.updateUs.push(updateUs);
}

interface Moment {
  readonly cpu: NodeJS.CpuUsage;
  readonly ms: number;
}

function now(): Moment {
  return { cpu: process.cpuUsage(), ms: performance.now() };
}

/**
 * The lesser of wall time and the process's CPU time, which neither of the two falsifies: other processes make the
 * first longer, and V8's compiler and collector in threads of their own, for which nobody waits, the second.
 */
function elapsedUs(since: Moment): number {
  const wallUs = (performance.now() - since.ms) * 1_000;
  const { user, system } = process.cpuUsage(since.cpu);
  return Math.min(wallUs, user + system);
}

interface Load {
  readonly name: string;
  readonly sharedLength: number;
  readonly numBlocks: number;
  readonly numSteps: number;
}

function measure({ name, sharedLength, numBlocks, numSteps }: Load): Row {
  const kv = new KvCacheManager({
    numBlocks,
    blockSize: 16,
    numSeqIds: 512,
    maxCachedBlocks: numBlocks,
    canShare: true,
    canTrim: true,
  });
  const scheduler = new Scheduler(
    {
      maxNumSeqs: NUM_RUNNING,
      maxNumBatchedTokens: 2_048,
      maxModelLen: MAX_MODEL_LEN,
      targetItlMs: null,
      eogTokenIds: [],
    },
    kv,
  );
  let numAdded = 0;
  const fill = (): void => {
    while (scheduler.stats().numWaiting < NUM_WAITING)
      scheduler.add(createRequest(numAdded++, sharedLength), numAdded);
  };
  fill();
  for (
    let count = 0;
    count < NUM_WARM_UP_STEPS || scheduler.stats().numRunning < NUM_RUNNING * 0.8;
    count += 1
  ) {
    step(scheduler, null);
    fill();
  }
  const times: Times = { scheduleUs: [], updateUs: [], numRows: 0 };
  for (let count = 0; count < numSteps; count += 1) {
    step(scheduler, times);
    fill();
  }
  const { numRunning, numWaiting, numPreemptions } = scheduler.stats();
  const schedule = distributionOf(times.scheduleUs);
  const update = distributionOf(times.updateUs);
  return {
    side: name,
    running: numRunning,
    waiting: numWaiting,
    "rows a step": times.numRows / numSteps,
    preemptions: numPreemptions,
    "schedule p50 us": schedule.percentile(50),
    "schedule p99 us": schedule.percentile(99),
    "update p50 us": update.percentile(50),
    "update p99 us": update.percentile(99),
  };
}

function goalsOf(row: Row): Goal[] {
  return (["schedule p50 us", "schedule p99 us"] as const).map((column) =>
    atMost(`${row["side"]}: ${column}`, row[column] as number, MAX_SCHEDULE_US),
  );
}

await runScenario({
  name: "schedule-cost",
  purpose: "time of one schedule() at 256 running and 10,000 waiting sequences, without a model",
  numRounds: 1,
  run: async ({ isQuick }) => {
    const numSteps = isQuick ? QUICK_NUM_STEPS : NUM_STEPS;
    const rows = [
      measure({ name: "nothing shared", sharedLength: 0, numBlocks: 16_384, numSteps }),
      measure({ name: "160 of 200 tokens shared", sharedLength: 160, numBlocks: 16_384, numSteps }),
      measure({ name: "memory short", sharedLength: 0, numBlocks: 6_000, numSteps }),
    ];
    return { rows, goals: rows.flatMap(goalsOf) };
  },
});
