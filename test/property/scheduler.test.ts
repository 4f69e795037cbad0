import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { KvCacheOptions } from "../../kvcache/kv-cache-options.ts";
import type { SequenceRequest } from "../../scheduler/contracts.ts";
import { createSamplingParams, FakeEngine, range } from "../support/scheduler-builders.ts";

const BLOCK_SIZE = 4;
const MAX_MODEL_LEN = 40;
const MEAN_TOKENS_TO_EOG = 24;
const MAX_STEPS_PER_REQUEST = 100;

interface Arrival {
  readonly prompt: number;
  readonly promptLength: number;
  readonly tail: number;
  readonly maxTokens: number;
  readonly priority: number;
  readonly salt: boolean;
  readonly scores: boolean;
  /** How long its prompt is kept, in milliseconds; 0 for no pin. */
  readonly pinMs: number;
}

interface Disturbance {
  readonly kind: "abort" | "pause" | "resume";
  readonly pick: number;
  /** Between a model call and the next, as messages may arrive. */
  readonly midStep: boolean;
}

type Action =
  | { readonly kind: "add"; readonly arrival: Arrival }
  | { readonly kind: "steps"; readonly count: number }
  | Disturbance;

/** Few distinct prompts of few lengths, so that sequences share, lead and follow all the time. */
const arrivals: fc.Arbitrary<Arrival> = fc.record({
  prompt: fc.nat(1),
  promptLength: fc.integer({ min: 0, max: 24 }),
  tail: fc.nat(3),
  maxTokens: fc.nat(20),
  priority: fc.integer({ min: -1, max: 1 }),
  salt: fc.boolean(),
  scores: fc.nat(3).map((value) => value === 0),
  pinMs: fc.constantFrom(0, 0, 5, 1000),
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
  numBlocks: fc.integer({ min: MAX_MODEL_LEN / BLOCK_SIZE, max: 16 }),
  maxNumSeqs: fc.integer({ min: 1, max: 6 }),
  numSpareSeqIds: fc.nat(4),
  cache: fc.record({
    maxCachedBlocks: fc.constantFrom(0, 3, Infinity),
    maxHostBlocks: fc.constantFrom(0, 4, 100),
    hostSegmentBlocks: fc.integer({ min: 1, max: 4 }),
  }),
  maxNumBatchedTokens: fc.constantFrom(6, 16, 64),
  targetItlMs: fc.constantFrom(null, 1, 1000),
});

type Settings = typeof settings extends fc.Arbitrary<infer T> ? T : never;
/** A kind of memory and of scheduler. */
interface Kind extends Pick<KvCacheOptions, "canShare" | "canTrim" | "layout"> {
  readonly isDeterministic?: boolean;
  /** The model's results depend on the shape of a call. */
  readonly isSensitive?: boolean;
}

/** Long enough for the cache to notice, with the next request. */
const PINS_ARE_OVER_MS = 3000;
const LAST_ARRIVAL: Arrival = {
  prompt: 0,
  promptLength: 1,
  tail: 0,
  maxTokens: 1,
  priority: 0,
  salt: false,
  scores: false,
  pinMs: 0,
};

function toRequest(arrival: Arrival, requestId: string): SequenceRequest {
  const { prompt, promptLength, tail, maxTokens, priority, salt, scores, pinMs } = arrival;
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
    ...(pinMs > 0 && { pins: [{ numTokens: promptLength, ttlMs: pinMs }] }),
  };
}

interface Outcome {
  readonly tokens: readonly number[];
  readonly reason: string | undefined;
}

const outcomesAlone = new Map<string, Outcome>();

/** What a request yields with the whole machine to itself. */
function runAlone(request: SequenceRequest, isDeterministic: boolean): Outcome {
  const key = JSON.stringify([request.tokens, request.maxTokens, request.sampling, isDeterministic]);
  const known = outcomesAlone.get(key);
  if (known !== undefined) return known;
  const engine = new FakeEngine({
    kv: { numBlocks: MAX_MODEL_LEN / BLOCK_SIZE, blockSize: BLOCK_SIZE, canShare: false },
    scheduler: { maxModelLen: MAX_MODEL_LEN, isDeterministic },
    runner: { meanTokensToEog: MEAN_TOKENS_TO_EOG, isSensitive: isDeterministic },
  });
  engine.add(request);
  engine.drain();
  const outcome = { tokens: engine.tokensOf(request.requestId), reason: engine.finishOf(request.requestId) };
  outcomesAlone.set(key, outcome);
  return outcome;
}

/** Requests, and what became of them, in one engine. */
class Simulation {
  readonly engine: FakeEngine;
  readonly #isDeterministic: boolean;
  readonly #requests: SequenceRequest[] = [];
  readonly #aborted = new Set<string>();
  readonly #paused = new Set<string>();

  constructor(
    { maxNumSeqs, numSpareSeqIds, numBlocks, cache, ...rest }: Settings,
    { isDeterministic = false, isSensitive = isDeterministic, ...memory }: Kind,
  ) {
    this.#isDeterministic = isDeterministic;
    const numSeqIds = maxNumSeqs + numSpareSeqIds;
    const slices = numSeqIds * (MAX_MODEL_LEN / BLOCK_SIZE);
    this.engine = new FakeEngine({
      kv: {
        numBlocks: memory.layout === "streams" ? slices : numBlocks,
        blockSize: BLOCK_SIZE,
        numSeqIds,
        ...cache,
        ...memory,
      },
      scheduler: { maxNumSeqs, maxModelLen: MAX_MODEL_LEN, isDeterministic, ...rest },
      runner: { meanTokensToEog: MEAN_TOKENS_TO_EOG, isSensitive },
    });
  }

  run(action: Action): void {
    if (action.kind === "steps") for (let count = 0; count < action.count; count += 1) this.#step();
    else if (action.kind === "add") this.#add(action.arrival);
    else if (action.midStep) this.engine.step(() => this.#disturb(action));
    else this.#disturb(action);
  }

  /** The scheduler may be idle only when every unfinished request is paused. */
  #step(): void {
    if (this.engine.step() !== null) return;
    for (const { requestId } of this.#requests) {
      const hasEnded = this.#aborted.has(requestId) || this.engine.finishOf(requestId) !== undefined;
      assert.ok(hasEnded || this.#paused.has(requestId), `${requestId} is left waiting`);
    }
  }

  /** Runs everything to its end; bounded, so that a starving or deadlocked request fails the test. */
  finish(): void {
    for (const { requestId } of this.#requests) this.engine.scheduler.resume(requestId);
    this.engine.drain(this.#requests.length * MAX_STEPS_PER_REQUEST);
    this.engine.nowMs += PINS_ARE_OVER_MS;
    this.#add(LAST_ARRIVAL);
    this.engine.drain(MAX_STEPS_PER_REQUEST);
  }

  checkOutputs(): void {
    for (const request of this.#requests) {
      const { requestId } = request;
      const alone = runAlone(request, this.#isDeterministic);
      const tokens = this.engine.tokensOf(requestId);
      const reason = this.engine.finishOf(requestId);
      if (!this.#aborted.has(requestId)) assert.deepEqual({ tokens, reason }, alone);
      else
        assert.deepEqual(
          { tokens, reason },
          { tokens: alone.tokens.slice(0, tokens.length), reason: undefined },
        );
      this.#checkPromptLogprobs(request);
    }
  }

  /** Everything has been given back: only cached blocks are left, full to the last cell. */
  checkMemory(maxCachedBlocks: number): void {
    const { numRunning, numWaiting, numWaitingTokens, blocks } = this.engine.scheduler.stats();
    assert.deepEqual(
      { numRunning, numWaiting, numWaitingTokens },
      { numRunning: 0, numWaiting: 0, numWaitingTokens: 0 },
    );
    assert.equal(blocks.used, 0);
    assert.ok(blocks.cached <= maxCachedBlocks);
    assert.equal(this.engine.runner.numUsedCells(), blocks.cached * BLOCK_SIZE);
  }

  #add(arrival: Arrival): void {
    const request = toRequest(arrival, `request-${this.#requests.length}`);
    this.#requests.push(request);
    this.engine.add(request);
  }

  #disturb({ kind, pick }: Disturbance): void {
    if (this.#requests.length === 0) return;
    const { requestId } = this.#requests[pick % this.#requests.length]!;
    if (kind !== "abort") this.engine.scheduler[kind](requestId);
    if (kind === "pause") this.#paused.add(requestId);
    if (kind === "resume") this.#paused.delete(requestId);
    if (kind === "abort" && this.engine.scheduler.abort(requestId)) this.#aborted.add(requestId);
  }

  /** Each prompt token but the first once and in order, whatever was preempted in between. */
  #checkPromptLogprobs({ requestId, tokens, sampling }: SequenceRequest): void {
    const reported = this.engine.events
      .flatMap((event) => (event.kind === "promptLogprobs" ? [event.promptLogprobs] : []))
      .filter((promptLogprobs) => promptLogprobs.requestId === requestId)
      .flatMap(({ start, entries }) => entries.map(({ token }, index) => [start + index, token.tokenId]));
    const expected = sampling.promptLogprobs === null ? [] : [...tokens.entries()].slice(1);
    assert.deepEqual(reported, this.#aborted.has(requestId) ? expected.slice(0, reported.length) : expected);
  }
}

/** Returns how often each rare thing happened, to show that the scripts reach it. */
function checkSchedules(kind: Kind, numRuns: number): Record<string, number> {
  const reached = { numPreemptions: 0, numPrefixHits: 0 };
  const property = fc.property(
    settings,
    fc.array(actions, { minLength: 8, maxLength: 24 }),
    (setting, script) => {
      const simulation = new Simulation(setting, kind);
      for (const action of script) simulation.run(action);
      simulation.finish();
      simulation.checkOutputs();
      simulation.checkMemory(setting.cache.maxCachedBlocks);
      const stats = simulation.engine.scheduler.stats();
      reached.numPreemptions += stats.numPreemptions;
      reached.numPrefixHits += stats.numPrefixHitTokens > 0 ? 1 : 0;
    },
  );
  fc.assert(property, { numRuns, seed: 1, includeErrorInReport: true });
  return reached;
}

test("any schedule keeps every invariant and gives every request the tokens it gets alone", () => {
  const reached = checkSchedules({ canShare: true, canTrim: true }, 6_000);
  assert.ok(reached["numPreemptions"]! > 1_000 && reached["numPrefixHits"]! > 1_000, JSON.stringify(reached));
});

test("the same for memory that shares but cannot be trimmed", () => {
  const reached = checkSchedules({ canShare: true, canTrim: false }, 2_000);
  assert.ok(reached["numPrefixHits"]! > 300, JSON.stringify(reached));
});

test("the same for memory that cannot share", () => {
  const reached = checkSchedules({ canShare: false, canTrim: false }, 2_000);
  assert.ok(reached["numPrefixHits"] === 0 && reached["numPreemptions"]! > 300, JSON.stringify(reached));
});

test("the same where every sequence has a slice of its own and sharing copies", () => {
  const reached = checkSchedules({ canShare: true, canTrim: true, layout: "streams" }, 3_000);
  assert.ok(reached["numPrefixHits"]! > 500, JSON.stringify(reached));
});

for (const layout of ["streams", "paged"] as const) {
  test(`deterministic, ${layout}: the same although results depend on the shape of a call`, () => {
    const kind = { canShare: true, canTrim: true, layout, isDeterministic: true };
    const reached = checkSchedules(kind, 3_000);
    assert.ok(reached["numPrefixHits"]! > 500 && reached["numPreemptions"]! > 20, JSON.stringify(reached));
  });
}

test("without that mode, such a model gives other tokens in other company", () => {
  const kind = { canShare: true, canTrim: true, isSensitive: true };
  assert.throws(() => {
    fc.assert(
      fc.property(settings, fc.array(actions, { minLength: 8, maxLength: 24 }), (setting, script) => {
        const simulation = new Simulation(setting, kind);
        for (const action of script) simulation.run(action);
        simulation.finish();
        simulation.checkOutputs();
      }),
      { numRuns: 200, seed: 1, endOnFailure: true },
    );
  }, /Property failed/);
});
