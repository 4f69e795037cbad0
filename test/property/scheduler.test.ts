import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { SequenceRequest } from "../../scheduler/contracts.ts";
import { createSamplingParams, FakeEngine, range } from "../support/scheduler-builders.ts";

const BLOCK_SIZE = 4;
const MAX_MODEL_LEN = 40;

interface Arrival {
  readonly prompt: number;
  readonly promptLength: number;
  readonly tail: number;
  readonly maxTokens: number;
  readonly priority: number;
  readonly salt: boolean;
  readonly scores: boolean;
}

type Action =
  | { readonly kind: "add"; readonly arrival: Arrival }
  | { readonly kind: "abort" | "pause" | "resume"; readonly pick: number; readonly midStep: boolean }
  | { readonly kind: "steps"; readonly count: number };

/** Few distinct prompts of few lengths, so that sequences share, lead and follow all the time. */
const arrivals: fc.Arbitrary<Arrival> = fc.record({
  prompt: fc.nat(1),
  promptLength: fc.integer({ min: 0, max: 24 }),
  tail: fc.nat(3),
  maxTokens: fc.nat(9),
  priority: fc.integer({ min: -1, max: 1 }),
  salt: fc.boolean(),
  scores: fc.nat(7).map((value) => value === 0),
});

const actions: fc.Arbitrary<Action> = fc.oneof(
  { weight: 4, arbitrary: arrivals.map((arrival): Action => ({ kind: "add", arrival })) },
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 4 }).map((count): Action => ({ kind: "steps", count })) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom("abort" as const, "pause" as const, "resume" as const),
      pick: fc.nat(15),
      midStep: fc.boolean(),
    }),
  },
);

const settings = fc.record({
  numBlocks: fc.integer({ min: MAX_MODEL_LEN / BLOCK_SIZE, max: 20 }),
  maxNumSeqs: fc.integer({ min: 1, max: 5 }),
  numSpareSeqIds: fc.nat(4),
  maxCachedBlocks: fc.constantFrom(0, 3, Infinity),
  maxNumBatchedTokens: fc.constantFrom(5, 16, 64),
  capabilities: fc.constantFrom(
    { canShare: true, canTrim: true },
    { canShare: true, canTrim: false },
    { canShare: false, canTrim: false },
  ),
  targetItlMs: fc.constantFrom(null, 1, 1000),
});

function toRequest(arrival: Arrival, requestId: string): SequenceRequest {
  const { prompt, promptLength, tail, maxTokens, priority, salt, scores } = arrival;
  return {
    requestId,
    tokens: [...range(300 + 100 * prompt, promptLength), 500 + tail],
    numReplayedTokens: 0,
    sampling: createSamplingParams({
      promptLogprobs: scores ? 0 : null,
      choiceIndex: tail,
      temperature: tail > 1 ? 1 : 0,
    }),
    maxTokens,
    priority,
    tenantId: "",
    cacheSalt: salt ? "salt" : "",
  };
}

/** What a request yields with the whole machine to itself. */
function runAlone(request: SequenceRequest): { tokens: number[]; reason: string | undefined } {
  const engine = new FakeEngine({
    kv: { numBlocks: MAX_MODEL_LEN / BLOCK_SIZE, blockSize: BLOCK_SIZE, canShare: false },
    scheduler: { maxModelLen: MAX_MODEL_LEN },
    runner: { meanTokensToEog: 12 },
  });
  engine.add(request);
  engine.drain();
  return { tokens: engine.tokensOf(request.requestId), reason: engine.finishOf(request.requestId) };
}

function simulate(
  setting: typeof settings extends fc.Arbitrary<infer T> ? T : never,
  script: readonly Action[],
): void {
  const { maxNumSeqs, numSpareSeqIds, capabilities, numBlocks, maxCachedBlocks } = setting;
  const numSeqIds = maxNumSeqs + numSpareSeqIds;
  const engine = new FakeEngine({
    kv: { numBlocks, blockSize: BLOCK_SIZE, numSeqIds, maxCachedBlocks, ...capabilities },
    scheduler: {
      maxNumSeqs,
      maxNumBatchedTokens: setting.maxNumBatchedTokens,
      maxModelLen: MAX_MODEL_LEN,
      targetItlMs: setting.targetItlMs,
    },
    runner: { meanTokensToEog: 12 },
  });
  const requests: SequenceRequest[] = [];
  const aborted = new Set<string>();
  const apply = (action: Action): void => {
    if (action.kind === "add") {
      const request = toRequest(action.arrival, `request-${requests.length}`);
      requests.push(request);
      engine.add(request);
    } else if (action.kind !== "steps" && requests.length > 0) {
      const { requestId } = requests[action.pick % requests.length]!;
      if (action.kind !== "abort") engine.scheduler[action.kind](requestId);
      else if (engine.scheduler.abort(requestId)) aborted.add(requestId);
    }
  };
  for (const action of script) {
    if (action.kind === "steps") for (let count = 0; count < action.count; count += 1) engine.step();
    else if (action.kind === "add" || !action.midStep) apply(action);
    else engine.step(() => apply(action));
  }
  for (const { requestId } of requests) engine.scheduler.resume(requestId);
  engine.drain(requests.length * 200);

  for (const request of requests) {
    const { requestId } = request;
    const alone = runAlone(request);
    const tokens = engine.tokensOf(requestId);
    if (aborted.has(requestId)) {
      assert.equal(engine.finishOf(requestId), undefined);
      assert.deepEqual(tokens, alone.tokens.slice(0, tokens.length));
    } else {
      assert.deepEqual({ tokens, reason: engine.finishOf(requestId) }, alone);
    }
  }
  const stats = engine.scheduler.stats();
  assert.equal(stats.numRunning + stats.numWaiting + stats.numWaitingTokens + stats.blocks.used, 0);
  assert.ok(stats.blocks.cached <= maxCachedBlocks);
  assert.ok(engine.runner.numUsedCells() <= stats.blocks.cached * BLOCK_SIZE);
}

test("any schedule keeps every invariant and gives every request the tokens it gets alone", () => {
  fc.assert(fc.property(settings, fc.array(actions, { minLength: 4, maxLength: 24 }), simulate), {
    numRuns: 2_000,
    includeErrorInReport: true,
  });
});
