import type { KvCacheManager } from "../../kvcache/kv-cache-manager.ts";
import type { Batch, BatchResult, Sample, SequenceEvent, StepPlan } from "../../scheduler/contracts.ts";
import type { SamplingParams } from "../../scheduler/sampling-params.ts";
import { normal, seededRandom, type Random } from "../seeded-random.ts";
import type { Machine } from "./machine.ts";
import type { Policy } from "./policy.ts";
import { outputToken, promptTokens, type SimRequest } from "./sim-request.ts";
import type { LiveRequest, SimulationMetrics } from "./simulation-metrics.ts";

export interface EngineSimulationOptions {
  readonly machine: Machine;
  readonly policy: Policy;
  readonly kv: KvCacheManager;
  /** By arrival. */
  readonly requests: Iterable<SimRequest>;
  readonly metrics: SimulationMetrics;
  /** Standard deviation of the logarithm of call times; 0 for none. */
  readonly noise: number;
  readonly seed: number;
}

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
  ignoreEos: true,
  minTokens: 0,
};

/** Plans without a batch in a row after which the policy is taken to be stuck. */
const MAX_EMPTY_PLANS = 1_000;

/**
 * One engine with the clock replaced: the loop of src/engine/step-loop.ts where each model call takes the time the
 * machine says. Runs until every request has finished; throws when the policy leaves one behind.
 */
export class EngineSimulation {
  readonly #options: EngineSimulationOptions;
  readonly #arrivals: Iterator<SimRequest>;
  readonly #random: Random;
  readonly #live = new Map<string, LiveRequest>();
  #next: SimRequest | null;
  #nowMs = 0;

  constructor(options: EngineSimulationOptions) {
    this.#options = options;
    this.#arrivals = options.requests[Symbol.iterator]();
    this.#random = seededRandom(options.seed);
    this.#next = this.#takeArrival();
  }

  run(): void {
    let numEmptyPlans = 0;
    for (;;) {
      this.#admitArrivals();
      const plan = this.#options.policy.schedule(this.#nowMs);
      if (plan === null || numEmptyPlans === MAX_EMPTY_PLANS) {
        if (this.#next === null || plan !== null) break;
        this.#nowMs = this.#next.atMs;
        continue;
      }
      numEmptyPlans = plan.batches.length === 0 ? numEmptyPlans + 1 : 0;
      this.#prepare(plan);
      for (const batch of plan.batches) this.#execute(batch);
    }
    if (this.#live.size > 0) throw new Error(`${this.#live.size} requests were never finished`);
  }

  #takeArrival(): SimRequest | null {
    const arrival = this.#arrivals.next();
    return arrival.done === true ? null : arrival.value;
  }

  #admitArrivals(): void {
    while (this.#next !== null && this.#next.atMs <= this.#nowMs) {
      this.#submit(this.#next);
      this.#next = this.#takeArrival();
    }
  }

  #submit(request: SimRequest): void {
    const requestId = String(request.index);
    const live: LiveRequest = {
      request,
      sample: { requestId, tokenId: outputToken(request), logprob: null, topLogprobs: [] },
      numKnownTokens: 0,
      numCachedTokens: 0,
      isScheduled: false,
      numOutputTokens: 0,
      firstTokenMs: 0,
      lastTokenMs: 0,
      longestGapMs: 0,
    };
    this.#live.set(requestId, live);
    this.#options.metrics.arrived(live);
    this.#options.policy.add(
      {
        requestId,
        tokens: promptTokens(request.segments),
        numReplayedTokens: 0,
        sampling: GREEDY,
        maxTokens: request.numOutputTokens,
        priority: 0,
        tenantId: request.tenant,
        cacheSalt: "",
      },
      request.atMs,
    );
  }

  #prepare({ cacheOps }: StepPlan): void {
    const { machine, policy, metrics } = this.#options;
    const copyMs = machine.cacheOpsMs(cacheOps);
    policy.copyTimes?.observe(cacheOps, copyMs);
    this.#nowMs += machine.parameters.hostMsPerStep + copyMs;
    if (copyMs > 0) metrics.called(copyMs, this.#nowMs, 0);
  }

  #execute(batch: Batch): void {
    const { machine, kv, policy, metrics, noise } = this.#options;
    const idealMs = machine.callMs(batch.rows, kv.numHeldTokens);
    const durationMs = noise === 0 ? idealMs : idealMs * Math.exp(noise * normal(this.#random));
    this.#nowMs += durationMs;
    const result = this.#compute(batch);
    metrics.called(durationMs, this.#nowMs, result.numDecodeRows);
    for (const event of policy.update(batch, result, this.#nowMs, durationMs)) this.#take(event);
  }

  #compute({ rows }: Batch): BatchResult & { readonly numDecodeRows: number } {
    const samples: Sample[] = [];
    let numDecodeRows = 0;
    for (const { sequence, start, numTokens, sample } of rows) {
      const live = this.#live.get(sequence.requestId)!;
      this.#options.metrics.computed(live, start, start + numTokens);
      if (sample) samples.push(live.sample);
      if (numTokens === 1) numDecodeRows += 1;
    }
    return { samples, promptLogprobs: [], numDecodeRows };
  }

  #take(event: SequenceEvent): void {
    const { metrics } = this.#options;
    switch (event.kind) {
      case "token":
        metrics.token(this.#require(event.sample.requestId), this.#nowMs);
        break;
      case "scheduled":
        metrics.scheduled(this.#require(event.requestId), event.numCachedTokens);
        break;
      case "preempted":
        metrics.preempted();
        break;
      case "finished":
        this.#finish(this.#require(event.requestId));
        break;
      case "progress":
      case "promptLogprobs":
        break;
    }
  }

  #finish(live: LiveRequest): void {
    const { request, numOutputTokens } = live;
    if (numOutputTokens !== request.numOutputTokens) {
      throw new Error(
        `request ${request.index} ended after ${numOutputTokens} of ${request.numOutputTokens} tokens`,
      );
    }
    this.#options.metrics.finished(live, this.#nowMs);
    this.#live.delete(live.sample.requestId);
  }

  /** Throws for a request that has ended or never was: each ends once. */
  #require(requestId: string): LiveRequest {
    const live = this.#live.get(requestId);
    if (live === undefined) throw new Error(`an event for request ${requestId}, which is not running`);
    return live;
  }
}
