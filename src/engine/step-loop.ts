import type { Batch, SequenceEvent, SequenceRequest } from "../../scheduler/contracts.ts";
import type { Scheduler } from "../../scheduler/scheduler.ts";
import type { ModelRunner } from "../../models/model-runner.ts";
import type { FromEngine, SequenceOutput, ToEngine, StepTimes } from "./protocol.ts";
import { StepHistory } from "./step-history.ts";

export interface StepLoopOptions {
  readonly scheduler: Scheduler;
  readonly runner: ModelRunner;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly deliver: (message: FromEngine) => void;
}

/** The engine's heart: one scheduler and one model, driven a step at a time. Does no waiting of its own. */
export class StepLoop {
  readonly #scheduler: Scheduler;
  readonly #runner: ModelRunner;
  readonly #now: () => number;
  readonly #deliver: (message: FromEngine) => void;
  readonly #history = new StepHistory();

  constructor(options: StepLoopOptions) {
    this.#scheduler = options.scheduler;
    this.#runner = options.runner;
    this.#now = options.now;
    this.#deliver = options.deliver;
  }

  /** Takes in what the server sent since the last step. */
  receive(message: ToEngine): void {
    const now = this.#now();
    for (const requestId of message.abort ?? []) this.#scheduler.abort(requestId);
    for (const request of message.submit ?? []) this.#add(request, now);
    for (const requestId of message.pause ?? []) this.#scheduler.pause(requestId);
    for (const requestId of message.resume ?? []) this.#scheduler.resume(requestId);
    for (const prefix of message.unpin ?? []) this.#scheduler.unpin(prefix);
    for (const id of message.snapshot ?? []) this.#answer(id, now);
  }

  /**
   * One iteration: schedule, then execute, update and deliver each batch, so that decoded tokens are on their
   * way before the prefill call starts. Returns false when there was nothing to do.
   * Throws what the runner throws: the process cannot go on after that.
   */
  step(): boolean {
    const startMs = this.#now();
    const plan = this.#scheduler.schedule(startMs);
    if (plan === null) return false;
    const plannedMs = this.#now();
    this.#runner.apply(plan.cacheOps);
    this.#scheduler.copyTimes.observe(plan.cacheOps, this.#now() - plannedMs);
    let scheduleMs = this.#now() - startMs;
    this.#history.begin(plan, startMs, scheduleMs);
    for (const batch of plan.batches) {
      this.#run(batch, scheduleMs);
      scheduleMs = 0;
    }
    // After an abort, for instance: the server still learns the new block counts.
    if (plan.batches.length === 0) this.#deliverOutputs([], scheduleMs);
    return true;
  }

  /** Brings the memory to where the scheduler believes it is; for the end, when no step follows. */
  settle(): void {
    this.#runner.apply(this.#scheduler.takeCacheOps());
  }

  #run(batch: Batch, scheduleMs: number): void {
    const startMs = this.#now();
    const result = this.#runner.execute(batch);
    const executedMs = this.#now();
    const events = this.#scheduler.update(batch, result, executedMs, executedMs - startMs);
    const isDecode = batch.kind === "decode";
    const times = {
      scheduleMs,
      executeMs: executedMs - startMs,
      updateMs: this.#now() - executedMs,
      numDecodeRows: isDecode ? batch.rows.length : 0,
      numPrefillTokens: isDecode ? 0 : batch.numTokens,
    };
    this.#history.noteCall(times);
    this.#deliverStep(mergeEvents(events), times);
  }

  #answer(id: number, nowMs: number): void {
    const snapshot = {
      ...this.#scheduler.snapshot(nowMs),
      targetItlMs: this.#scheduler.targetItlMs(),
      steps: this.#history.records(nowMs),
    };
    this.#deliver({ type: "snapshot", id, snapshot });
  }

  /** A sequence that cannot run is answered, never allowed to take the process down. */
  #add(request: SequenceRequest, nowMs: number): void {
    try {
      this.#scheduler.add(request, nowMs);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      const { requestId } = request;
      this.#deliverOutputs([{ requestId, finishReason: "error", error: error.message }], 0);
    }
  }

  #deliverOutputs(outputs: readonly SequenceOutput[], scheduleMs: number): void {
    this.#deliverStep(outputs, {
      scheduleMs,
      executeMs: 0,
      updateMs: 0,
      numDecodeRows: 0,
      numPrefillTokens: 0,
    });
  }

  #deliverStep(outputs: readonly SequenceOutput[], times: StepTimes): void {
    const stats = this.#scheduler.stats();
    this.#deliver({ type: "step", outputs, times, stats, pace: this.#scheduler.pace() });
  }
}

type MutableOutput = { -readonly [K in keyof SequenceOutput]: SequenceOutput[K] };

/** Folds a batch's events into one output per request. */
export function mergeEvents(events: readonly SequenceEvent[]): SequenceOutput[] {
  const byRequest = new Map<string, MutableOutput>();
  for (const event of events) {
    const requestId = requestIdOf(event);
    let output = byRequest.get(requestId);
    if (output === undefined) {
      output = { requestId };
      byRequest.set(requestId, output);
    }
    fold(output, event);
  }
  return [...byRequest.values()];
}

function requestIdOf(event: SequenceEvent): string {
  switch (event.kind) {
    case "token":
      return event.sample.requestId;
    case "promptLogprobs":
      return event.promptLogprobs.requestId;
    default:
      return event.requestId;
  }
}

function fold(output: MutableOutput, event: SequenceEvent): void {
  switch (event.kind) {
    case "scheduled":
      output.numCachedTokens = event.numCachedTokens;
      break;
    case "progress":
      output.numComputedTokens = event.numComputedTokens;
      break;
    case "promptLogprobs":
      output.promptLogprobs = event.promptLogprobs.entries;
      break;
    case "token":
      output.tokenId = event.sample.tokenId;
      if (event.sample.logprob !== null) output.logprob = event.sample.logprob;
      if (event.sample.topLogprobs.length > 0) output.topLogprobs = event.sample.topLogprobs;
      break;
    case "preempted":
      output.preempted = true;
      break;
    case "finished":
      output.finishReason = event.reason;
      break;
  }
}
