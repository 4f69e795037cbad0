/**
 * Time of Scheduler.schedule() and update() at 256 running and 10,000 waiting sequences, without a model.
 * Run: node dist/bench/engine/schedule.js
 *
 * Method: tokens are drawn at once and outputs are of mixed length, so that about every second step some sequence
 * finishes and another is admitted. 200 warm-up steps, then 3,000 measured ones. CPU time of the process, not
 * wall time, so that other processes on the machine don't count; garbage collection does.
 */
import { KvCacheManager } from "../../kvcache/kv-cache-manager.ts";
import type { Batch, BatchResult, SequenceRequest } from "../../scheduler/contracts.ts";
import type { SamplingParams } from "../../scheduler/sampling-params.ts";
import { Scheduler } from "../../scheduler/scheduler.ts";

const NUM_RUNNING = 256;
const NUM_WAITING = 10_000;
const NUM_WARM_UP_STEPS = 200;
const NUM_STEPS = 3_000;
const PROMPT_LENGTH = 200;
const MAX_MODEL_LEN = 1_024;

const GREEDY: SamplingParams = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: [],
  seed: 0,
  choiceIndex: 0,
  topLogprobs: null,
  promptLogprobs: null,
  stopTokenIds: [],
  ignoreEos: false,
  minTokens: 0,
};

/** `sharedLength` leading tokens are the same in all prompts. */
function createRequest(index: number, sharedLength: number): SequenceRequest {
  const tokens = Array.from({ length: PROMPT_LENGTH }, (_, position) =>
    position < sharedLength ? position : 1_000 + ((index * 7_919 + position) % 30_000),
  );
  return {
    requestId: `request-${index}`,
    tokens,
    numReplayedTokens: 0,
    sampling: GREEDY,
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
  const start = cpuTimeUs();
  const plan = scheduler.schedule(0);
  const scheduled = cpuTimeUs();
  let updateUs = 0;
  for (const batch of plan?.batches ?? []) {
    const result = sampleAll(batch);
    const before = cpuTimeUs();
    scheduler.update(batch, result, 0, batch.kind === "decode" ? 5 : 10);
    updateUs += cpuTimeUs() - before;
    if (times !== null) times.numRows += batch.rows.length;
  }
  times?.scheduleUs.push(scheduled - start);
  times?.updateUs.push(updateUs);
}

function cpuTimeUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

function measure(sharedLength: number, numBlocks: number): void {
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
  for (let count = 0; count < NUM_STEPS; count += 1) {
    step(scheduler, times);
    fill();
  }
  const { numRunning, numWaiting, numPreemptions } = scheduler.stats();
  console.log(
    [
      `shared ${sharedLength} of ${PROMPT_LENGTH} tokens, ${numBlocks} blocks: running ${numRunning}, waiting ${numWaiting}`,
      `rows a step ${(times.numRows / NUM_STEPS).toFixed(0)}, preemptions ${numPreemptions}`,
      `schedule us ${summary(times.scheduleUs)}`,
      `update us   ${summary(times.updateUs)}`,
    ].join("\n  "),
  );
}

function summary(values: number[]): string {
  values.sort((left, right) => left - right);
  const at = (quantile: number): string => values[Math.floor(quantile * (values.length - 1))]!.toFixed(0);
  return `p50 ${at(0.5)}  p90 ${at(0.9)}  p99 ${at(0.99)}  max ${at(1)}`;
}

measure(0, 16_384);
measure(160, 16_384);
measure(0, 6_000);
