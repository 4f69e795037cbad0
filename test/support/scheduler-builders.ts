import { KvCacheManager } from "../../kvcache/kv-cache-manager.ts";
import type { KvCacheOptions } from "../../kvcache/kv-cache-options.ts";
import {
  createFakeModelInfo,
  FakeModelRunner,
  type FakeModelRunnerOptions,
} from "../../models/fake-model-runner.ts";
import type {
  Batch,
  BatchResult,
  SequenceEvent,
  SequenceRequest,
  StepPlan,
} from "../../scheduler/contracts.ts";
import { GREEDY_SAMPLING, type SamplingParams } from "../../scheduler/sampling-params.ts";
import type { SchedulerOptions } from "../../scheduler/scheduler-options.ts";
import { Scheduler } from "../../scheduler/scheduler.ts";

export function createSamplingParams(overrides: Partial<SamplingParams> = {}): SamplingParams {
  return { ...GREEDY_SAMPLING, ...overrides };
}

export function createSequenceRequest(overrides: Partial<SequenceRequest> = {}): SequenceRequest {
  return {
    requestId: "request",
    tokens: [1, 2, 3],
    numReplayedTokens: 0,
    sampling: createSamplingParams(),
    maxTokens: 4,
    priority: 0,
    tenantId: "tenant",
    cacheSalt: "",
    ...overrides,
  };
}

export function createKvCacheManager(overrides: Partial<KvCacheOptions> = {}): KvCacheManager {
  return new KvCacheManager({
    numBlocks: 8,
    blockSize: 4,
    numSeqIds: 16,
    maxCachedBlocks: Infinity,
    canShare: true,
    canTrim: true,
    ...overrides,
  });
}

/** Tokens that differ from those of other `first` values. */
export function range(first: number, length: number): number[] {
  return Array.from({ length }, (_, index) => first + index);
}

export interface FakeEngineOptions {
  readonly kv?: Partial<KvCacheOptions>;
  readonly scheduler?: Partial<SchedulerOptions>;
  readonly runner?: Partial<Omit<FakeModelRunnerOptions, "info">>;
}

/** Scheduler, manager and fake model joined by the engine's step loop, with a virtual clock and every check on. */
export class FakeEngine {
  readonly kv: KvCacheManager;
  readonly scheduler: Scheduler;
  readonly runner: FakeModelRunner;
  readonly events: SequenceEvent[] = [];
  nowMs = 0;
  /** Virtual time of a model call. */
  callMs: (batch: Batch) => number = () => 1;

  constructor(options: FakeEngineOptions = {}) {
    this.kv = createKvCacheManager(options.kv);
    const { numBlocks, blockSize, numSeqIds, layout: kvLayout = "paged" } = this.kv.options;
    const schedulerOptions: SchedulerOptions = {
      maxNumSeqs: 4,
      maxNumBatchedTokens: 64,
      maxModelLen: numBlocks * blockSize,
      targetItlMs: null,
      eogTokenIds: [0],
      priorityAgeingMs: 100,
      ...options.scheduler,
    };
    this.scheduler = new Scheduler(schedulerOptions, this.kv);
    const { maxNumBatchedTokens } = schedulerOptions;
    const info = createFakeModelInfo({ kvPool: { numBlocks, blockSize }, kvLayout, maxNumBatchedTokens });
    this.runner = new FakeModelRunner({ info, numSeqIds, meanTokensToEog: Infinity, ...options.runner });
  }

  add(overrides: Partial<SequenceRequest>): void {
    this.scheduler.add(createSequenceRequest(overrides), this.nowMs);
  }

  /** One step; `afterBatch` may abort or pause in between, as the engine does. Returns the plan, null when idle. */
  step(afterBatch: (batch: Batch) => void = () => {}): StepPlan | null {
    const hadWork = this.scheduler.hasWork();
    const plan = this.scheduler.schedule(this.nowMs);
    const isReading = [...this.kv.host.disk.index.wanted].length > 0;
    if (hadWork !== (plan !== null) && !isReading)
      throw new Error(`hasWork() is ${hadWork}, the plan ${JSON.stringify(plan)}`);
    if (plan === null) return null;
    this.runner.apply(plan.cacheOps);
    this.#check("after cache operations");
    for (const batch of plan.batches) {
      const result: BatchResult = this.runner.execute(batch);
      const durationMs = this.callMs(batch);
      this.nowMs += durationMs;
      this.events.push(...this.scheduler.update(batch, result, this.nowMs, durationMs));
      afterBatch(batch);
    }
    return plan;
  }

  /** Steps until nothing is left to do. */
  drain(maxSteps = 10_000): void {
    for (let count = 0; this.step() !== null; count += 1) {
      if (count === maxSteps) throw new Error(`still busy after ${maxSteps} steps`);
    }
  }

  tokensOf(requestId: string): number[] {
    return this.events.flatMap((event) =>
      event.kind === "token" && event.sample.requestId === requestId ? [event.sample.tokenId] : [],
    );
  }

  finishOf(requestId: string): string | undefined {
    const finished = this.events.filter(
      (event) => event.kind === "finished" && event.requestId === requestId,
    );
    if (finished.length > 1) throw new Error(`${requestId} finished ${finished.length} times`);
    return finished[0]?.kind === "finished" ? finished[0].reason : undefined;
  }

  #check(when: string): void {
    const violations = this.kv.checkIntegrity(this.runner.numUsedCells());
    if (violations.length > 0) throw new Error(`${when}: ${violations.join("; ")}`);
  }
}
