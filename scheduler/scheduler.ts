import type { KvCacheManager } from "../kvcache/kv-cache-manager.ts";
import type {
  Batch,
  BatchResult,
  BatchRow,
  CacheOp,
  FinishReason,
  PinnedPrefix,
  PromptLogprobs,
  Sample,
  SchedulerStats,
  SequenceEvent,
  SequenceRequest,
  StepPlan,
} from "./contracts.ts";
import { CopyTimeModel } from "./copy-time-model.ts";
import type { Pace } from "./queue-model.ts";
import { Roster } from "./roster.ts";
import { DEFAULT_PRIORITY_AGEING_MS, type SchedulerOptions } from "./scheduler-options.ts";
import { takeSnapshot, type SchedulerSnapshot } from "./scheduler-snapshot.ts";
import { Sequence } from "./sequence.ts";
import { StepPlanner } from "./step-planner.ts";
import { PrefillPace } from "./prefill-pace.ts";
import { StepTimeModel } from "./step-time-model.ts";
import { boundPriority, TurnOrder } from "./urgency.ts";
import { chargeOutput, VirtualTokenCounters } from "./virtual-token-counters.ts";

const TYPICAL_PROMPT = 128;

/**
 * Decides at every step which tokens are computed (iteration-level scheduling, Orca, OSDI '22).
 * Pure: time comes in as arguments, memory is the manager's, work goes out as a plan.
 *
 *   schedule() → the runner executes a batch → update() → ... once per batch of the plan
 */
export class Scheduler {
  readonly stepTimes = new StepTimeModel();
  readonly prefillPace = new PrefillPace(this.stepTimes);
  readonly copyTimes = new CopyTimeModel();
  readonly #options: SchedulerOptions;
  readonly #kv: KvCacheManager;
  readonly #counters = new VirtualTokenCounters();
  readonly #order: TurnOrder;
  readonly #roster: Roster;
  readonly #planner: StepPlanner;
  readonly #eogTokenIds: ReadonlySet<number>;
  #numPromptTokensComputed = 0;
  #numGeneratedTokens = 0;
  #arrivalIndex = 0;
  #stepIndex = 0;
  /** What schedule() did, told with the next update(). */
  #pendingEvents: SequenceEvent[] = [];

  constructor(
    options: Omit<SchedulerOptions, "priorityAgeingMs"> & Partial<SchedulerOptions>,
    kv: KvCacheManager,
  ) {
    this.#options = { priorityAgeingMs: DEFAULT_PRIORITY_AGEING_MS, ...options };
    if (options.maxNumSeqs > options.maxNumBatchedTokens) {
      throw new RangeError("maxNumBatchedTokens must allow a token for each of maxNumSeqs sequences");
    }
    if (kv.numBlocksFor(options.maxModelLen) > kv.counts().total) {
      throw new RangeError("the KV pool must hold one sequence of maxModelLen tokens");
    }
    this.#kv = kv;
    this.#order = new TurnOrder(this.#options.priorityAgeingMs);
    this.#roster = new Roster({
      kv,
      maxNumSeqs: options.maxNumSeqs,
      order: this.#order,
      isParkCheaper: (sequence) => this.#isParkCheaper(sequence),
    });
    this.#planner = new StepPlanner({
      options: this.#options,
      kv,
      roster: this.#roster,
      order: this.#order,
      pace: this.prefillPace,
      copyTimes: this.copyTimes,
      counters: this.#counters,
      onPreempt: (sequence) => this.#onPreempt(sequence),
    });
    this.#eogTokenIds = new Set(options.eogTokenIds);
  }

  /** Queues a sequence. Throws RangeError for one that can never run: admission in front of the engine refuses those. */
  add(request: SequenceRequest, nowMs: number): void {
    const { requestId, tokens } = request;
    const { maxModelLen, priorityAgeingMs } = this.#options;
    if (this.#roster.get(requestId) !== undefined)
      throw new RangeError(`request ${requestId} exists already`);
    if (tokens.length === 0 || tokens.length > maxModelLen) {
      throw new RangeError(
        `request ${requestId} has ${tokens.length} tokens; 1 to ${maxModelLen} are possible`,
      );
    }
    const arrival = {
      arrivalMs: nowMs,
      arrivalIndex: this.#arrivalIndex++,
      priority: boundPriority(request.priority),
      priorityAgeingMs,
      account: this.#counters.arrive(request.tenantId, nowMs),
    };
    this.#roster.add(new Sequence(request, arrival, this.#options));
  }

  /** Ends a request at once and frees its memory; no event follows. Returns false when it had ended or never was. */
  abort(requestId: string): boolean {
    const sequence = this.#roster.get(requestId);
    if (sequence === undefined) return false;
    this.#roster.remove(sequence);
    this.#pendingEvents = this.#pendingEvents.filter(
      (event) => !("requestId" in event) || event.requestId !== requestId,
    );
    return true;
  }

  /** No rows for this request until it is resumed. It keeps its blocks unless an active one needs them. */
  pause(requestId: string): void {
    const sequence = this.#roster.get(requestId);
    if (sequence !== undefined) this.#roster.pause(sequence);
  }

  resume(requestId: string): void {
    const sequence = this.#roster.get(requestId);
    if (sequence !== undefined) this.#roster.resume(sequence);
  }

  /** Ends the pin of a prefix, but not those of others on it. */
  unpin(prefix: PinnedPrefix): void {
    this.#kv.unpin(prefix, prefix.owner);
  }

  /** True when schedule() would return a plan, or has to find out that nothing can be moved or run now. */
  hasWork(): boolean {
    return this.#kv.hasOps || this.#roster.hasRunnable;
  }

  /** The next step; null when there is nothing to do. A plan may consist of cache operations only. */
  schedule(nowMs: number): StepPlan | null {
    this.#order.nowMs = nowMs;
    this.#kv.advanceTo(nowMs);
    // Before the plan, which then knows what time the copies take; for a step that only copies nobody would wait.
    if (this.#roster.hasRunnable) this.#kv.copyAhead();
    const batches = this.#planner.plan();
    const cacheOps = this.#kv.takeOps();
    this.#countDiskHits(cacheOps);
    if (batches.length === 0 && cacheOps.length === 0) return null;
    return { stepIndex: this.#stepIndex++, cacheOps, batches };
  }

  /** What a plan would have begun with, for an engine that makes none any more. */
  takeCacheOps(): readonly CacheOp[] {
    return this.#kv.takeOps();
  }

  /** Takes in the outcome of one batch of the latest plan. Rows of requests that were aborted meanwhile are ignored. */
  update(batch: Batch, result: BatchResult, nowMs: number, durationMs: number): SequenceEvent[] {
    this.#kv.noteTime(nowMs);
    this.stepTimes.observe({ batch, usedTokens: this.#kv.numHeldTokens, durationMs });
    const events = this.#pendingEvents;
    this.#pendingEvents = [];
    for (const promptLogprobs of result.promptLogprobs) this.#reportPromptLogprobs(promptLogprobs, events);
    let numSamples = 0;
    for (const row of batch.rows) {
      const sample = row.sample ? result.samples[numSamples++] : null;
      const sequence = this.#roster.get(row.sequence.requestId);
      if (sequence === undefined || sequence !== row.sequence) continue;
      this.#advance(sequence, row, events);
      if (sample !== null) this.#append(sequence, sample, events);
      else if (sequence.numUncomputedTokens === 0) this.#finish(sequence, "length", events);
    }
    return events;
  }

  /** Step time to keep while sequences decode: the one asked for, else the one that the present load leads to. */
  targetItlMs(): number {
    const load = {
      numDecodeRows: Math.max(1, this.#roster.running.size),
      usedTokens: this.#kv.numHeldTokens,
    };
    return this.#options.targetItlMs ?? this.prefillPace.defaultItlMs(load);
  }

  /** Of one request alone; zeros while nothing is known. */
  pace(): Pace {
    const promptTokenMs = this.stepTimes.prefillMs(TYPICAL_PROMPT, 0) / TYPICAL_PROMPT;
    const tokenGapMs = this.stepTimes.decodeMs({ numDecodeRows: 1, usedTokens: TYPICAL_PROMPT });
    return { promptTokenMs, tokenGapMs };
  }

  snapshot(nowMs: number): SchedulerSnapshot {
    return takeSnapshot({ roster: this.#roster, kv: this.#kv, order: this.#order }, nowMs);
  }

  stats(): SchedulerStats {
    return {
      numRunning: this.#roster.running.size,
      numWaiting: this.#roster.numWaiting,
      numWaitingTokens: this.#roster.numWaitingTokens,
      blocks: this.#kv.counts(),
      hostBlocks: this.#kv.host.counts(),
      numDiskBlocks: this.#kv.host.disk.index.numBlocks,
      ...this.#roster.counters,
      numPromptTokensComputed: this.#numPromptTokensComputed,
      numGeneratedTokens: this.#numGeneratedTokens,
    };
  }

  /** A sequence that gives way comes back sooner by copies than by computing it again. Copies are the guess of the ignorant. */
  #isParkCheaper({ numComputedTokens }: Sequence): boolean {
    const numCopies = this.#kv.host.numCopiesFor(this.#kv.numBlocksFor(numComputedTokens));
    const parkMs = this.copyTimes.copyMs(2 * numCopies, 2 * numComputedTokens);
    const computeMs = this.stepTimes.prefillMs(numComputedTokens, 0);
    return parkMs === null || computeMs === 0 || parkMs <= computeMs;
  }

  #countDiskHits(cacheOps: readonly CacheOp[]): void {
    for (const operation of cacheOps) {
      if (operation.kind !== "restore" || !this.#kv.host.isFirstUseFromDisk(operation.slot)) continue;
      this.#roster.counters.numDiskHitTokens += operation.toPosition - operation.fromPosition;
    }
  }

  /** The row's tokens are computed. */
  #advance(sequence: Sequence, row: BatchRow, events: SequenceEvent[]): void {
    const { requestId, numPromptTokens } = sequence;
    const end = row.start + row.numTokens;
    this.#roster.advance(sequence, end);
    this.#numPromptTokensComputed += Math.max(0, Math.min(end, numPromptTokens) - row.start);
    if (!sequence.isAnnounced) {
      sequence.isAnnounced = true;
      events.push({ kind: "scheduled", requestId, numCachedTokens: sequence.numCachedTokens ?? 0 });
    }
    if (end < numPromptTokens && sequence.tokens.length === numPromptTokens) {
      events.push({ kind: "progress", requestId, numComputedTokens: end });
    }
  }

  #append(sequence: Sequence, sample: Sample | undefined, events: SequenceEvent[]): void {
    if (sample?.requestId !== sequence.requestId) throw new Error("samples are not in row order");
    sequence.tokens.push(sample.tokenId);
    this.#numGeneratedTokens += 1;
    chargeOutput(sequence.account, 1);
    events.push({ kind: "token", sample });
    const reason = sequence.finishReasonAfter(sample.tokenId, this.#eogTokenIds);
    if (reason !== null) this.#finish(sequence, reason, events);
  }

  #finish(sequence: Sequence, reason: FinishReason, events: SequenceEvent[]): void {
    this.#roster.remove(sequence);
    events.push({ kind: "finished", requestId: sequence.requestId, reason });
  }

  /** Each prompt token once, although a preempted prompt is computed again. */
  #reportPromptLogprobs(promptLogprobs: PromptLogprobs, events: SequenceEvent[]): void {
    const { requestId, entries } = promptLogprobs;
    const sequence = this.#roster.get(requestId);
    if (sequence === undefined) return;
    const start = sequence.numReportedPromptTokens;
    const newEntries = entries.slice(start - promptLogprobs.start);
    if (newEntries.length === 0) return;
    sequence.numReportedPromptTokens += newEntries.length;
    events.push({ kind: "promptLogprobs", promptLogprobs: { requestId, start, entries: newEntries } });
  }

  #onPreempt(sequence: Sequence): void {
    this.#pendingEvents.push({ kind: "preempted", requestId: sequence.requestId });
  }
}
