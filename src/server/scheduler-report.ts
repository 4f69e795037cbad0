import type { SequenceSnapshot } from "../../scheduler/scheduler-snapshot.ts";
import type { EngineSnapshot } from "../engine/engine-snapshot.ts";
import type { EngineState } from "../engine/generation.ts";
import type { StepRecord } from "../engine/step-history.ts";
import { tenantName } from "../telemetry/tenant-metrics.ts";

/** What goes on in the engine, for whoever asks why it is slow: who runs, who waits and the latest steps. */
export function schedulerReport(state: EngineState, snapshot: EngineSnapshot) {
  return {
    engine_state: state,
    itl_target_ms: milliseconds(snapshot.targetItlMs),
    running: snapshot.running.map(describeSequence),
    num_waiting: snapshot.numWaiting,
    waiting: snapshot.waiting.map(describeSequence),
    tenants: snapshot.tenants.map(({ tenantId, service, numRunning, numWaiting, numBlocks }) => ({
      tenant: tenantName(tenantId),
      service,
      running: numRunning,
      waiting: numWaiting,
      blocks: numBlocks,
    })),
    blocks: snapshot.blocks,
    steps: snapshot.steps.map(describeStep),
  };
}

function describeSequence(sequence: SequenceSnapshot) {
  return {
    id: sequence.requestId,
    tenant: tenantName(sequence.tenantId),
    priority: sequence.priority,
    status: sequence.isPaused ? "paused" : sequence.status,
    age_ms: milliseconds(sequence.ageMs),
    prompt_tokens: sequence.numPromptTokens,
    tokens: sequence.numTokens,
    computed_tokens: sequence.numComputedTokens,
    blocks: sequence.numBlocks,
  };
}

function describeStep({ stepIndex, ageMs, scheduleMs, numCacheOps, calls }: StepRecord) {
  return {
    step: stepIndex,
    age_ms: milliseconds(ageMs),
    schedule_ms: milliseconds(scheduleMs),
    cache_operations: numCacheOps,
    calls: calls.map((call) => ({
      kind: call.kind,
      rows: call.numRows,
      tokens: call.numTokens,
      execute_ms: milliseconds(call.executeMs),
      update_ms: milliseconds(call.updateMs),
      prefill: call.prefill.map(({ requestId, start, numTokens }) => ({
        id: requestId,
        start,
        tokens: numTokens,
      })),
    })),
  };
}

function milliseconds(value: number): number {
  return Math.round(value * 100) / 100;
}
