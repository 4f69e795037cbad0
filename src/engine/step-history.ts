import type { Batch, BatchRow, StepPlan } from "../../scheduler/contracts.ts";
import type { StepTimes } from "./protocol.ts";

/** Steps that are remembered. */
const MAX_STEPS = 200;

/** One model call of a step. Decoding rows compute one token each, so only those of a prefill are told one by one. */
export interface CallRecord {
  readonly kind: Batch["kind"];
  readonly numRows: number;
  readonly numTokens: number;
  readonly executeMs: number;
  readonly updateMs: number;
  readonly prefill: readonly {
    readonly requestId: string;
    readonly start: number;
    readonly numTokens: number;
  }[];
}

export interface StepRecord {
  readonly stepIndex: number;
  /** How long ago it began. */
  readonly ageMs: number;
  readonly scheduleMs: number;
  readonly numCacheOps: number;
  readonly calls: readonly CallRecord[];
}

interface Step {
  readonly plan: StepPlan;
  readonly startMs: number;
  readonly scheduleMs: number;
  readonly times: StepTimes[];
}

/** The latest steps, kept as the plans they were: writing one down costs nothing until somebody asks. */
export class StepHistory {
  readonly #steps: Step[] = [];
  #next = 0;

  begin(plan: StepPlan, startMs: number, scheduleMs: number): void {
    this.#steps[this.#next] = { plan, startMs, scheduleMs, times: [] };
    this.#next = (this.#next + 1) % MAX_STEPS;
  }

  /** A call of the latest step is done. */
  noteCall(times: StepTimes): void {
    this.#steps.at(this.#next - 1)?.times.push(times);
  }

  /** Oldest first. */
  records(nowMs: number): StepRecord[] {
    const inOrder = [...this.#steps.slice(this.#next), ...this.#steps.slice(0, this.#next)];
    return inOrder.map(({ plan, startMs, scheduleMs, times }) => ({
      stepIndex: plan.stepIndex,
      ageMs: nowMs - startMs,
      scheduleMs,
      numCacheOps: plan.cacheOps.length,
      calls: times.map((time, index) => describeCall(plan.batches[index]!, time)),
    }));
  }
}

function describeCall({ kind, rows, numTokens }: Batch, { executeMs, updateMs }: StepTimes): CallRecord {
  const prefill = kind === "prefill" ? rows.map(describeRow) : [];
  return { kind, numRows: rows.length, numTokens, executeMs, updateMs, prefill };
}

function describeRow({ sequence, start, numTokens }: BatchRow): CallRecord["prefill"][number] {
  return { requestId: sequence.requestId, start, numTokens };
}
