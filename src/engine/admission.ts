import type { ExpectedTimes, Prediction } from "../../scheduler/queue-model.ts";
import type { ModelInfo } from "../../models/model-info.ts";
import { GenerationError } from "./generation.ts";
import type {
  EngineState,
  GenerationRequest,
  LatencyTargets,
  ProspectiveRequest,
  RefusalReason,
} from "./generation.ts";
import { numTokensToCompute, type PromptSize } from "./prompt-size.ts";
import type { WaitingTotals } from "./waiting-work.ts";

export interface AdmissionLimits {
  /** Sequences waiting for their first row, over all requests. */
  readonly maxQueuedSequences: number;
  /** Prompt tokens of those sequences that have to be computed. */
  readonly maxQueuedTokens: number;
  /** The same of one tenant. */
  readonly maxQueuedPerTenant?: number;
  readonly maxPredictedWaitMs?: number;
}

export interface AdmissionState {
  readonly engineState: EngineState;
  readonly model: ModelInfo | null;
  readonly queue: WaitingTotals;
  readonly tenantQueue: WaitingTotals;
  /** Unfinished sequences that have had rows. */
  readonly numStarted: number;
  /** What would become of the request. */
  readonly prediction: Prediction;
}

const MIN_RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;

/** Refuses by throwing, before anything is queued; returns when the request may enter. */
export function admit(request: ProspectiveRequest, state: AdmissionState, limits: AdmissionLimits): void {
  requireServing(state);
  requireFit(request, state.model);
  requireRoom(request, state, limits);
  requireTimely(request, state.prediction, limits);
}

/** What `admit` would throw; null when it would not. */
export function refusalOf(
  request: ProspectiveRequest,
  state: AdmissionState,
  limits: AdmissionLimits,
): GenerationError | null {
  try {
    admit(request, state, limits);
    return null;
  } catch (error) {
    if (error instanceof GenerationError) return error;
    throw error;
  }
}

/** Kept to what SDKs obey: above a minute some wait blindly and some give up. */
export function retryAfterMs(waitMs: number): number {
  return Math.round(Math.min(MAX_RETRY_MS, Math.max(MIN_RETRY_MS, waitMs)));
}

/** What admission needs to know of a request with prompts of these sizes. */
export function prospectOf(request: GenerationRequest, sizes: readonly PromptSize[]): ProspectiveRequest {
  const { prompts, numChoices, tenantId, priority, maxTokens, targets = {} } = request;
  return {
    tenantId,
    priority,
    numSequences: prompts.length * numChoices,
    numPromptTokens: numTokensToCompute(sizes, numChoices),
    maxTokens,
    longestPrompt: Math.max(...prompts.map(({ tokenIds }) => tokenIds.length)),
    targets,
  };
}

/**
 * The bounds hold for what has to wait: sequences for which a row is free start with the next step. A request that
 * finds nothing before it is let in, however large; it could never get in otherwise.
 */
function requireRoom(request: ProspectiveRequest, state: AdmissionState, limits: AdmissionLimits): void {
  const { queue, tenantQueue, prediction, numStarted } = state;
  if (queue.numSequences + numStarted === 0) return;
  const { numSequences, numPromptTokens: numTokens } = request;
  const numFreeRows = Math.max(0, (state.model?.maxNumSeqs ?? 0) - numStarted);
  const numQueuedByOthers = queue.numSequences - tenantQueue.numSequences;
  // By the time that half of the queue has started, a place is likely to be free.
  const halfMs = prediction.queueMs / 2;
  const numFreeForTenant = Math.max(0, numFreeRows - numQueuedByOthers);
  const numWaitingOfTenant = tenantQueue.numSequences + numSequences - numFreeForTenant;
  if (numWaitingOfTenant > (limits.maxQueuedPerTenant ?? Infinity)) {
    const message = "Too many of your requests are waiting. Try again later.";
    throw new GenerationError("rate_limit_exceeded", message, retryAfterMs(halfMs), "tenant_queue");
  }
  const numWaiting = queue.numSequences + numSequences - numFreeRows;
  if (numWaiting > limits.maxQueuedSequences) throw full("queue_requests", halfMs);
  const numFreeForNewcomer = Math.max(0, numFreeRows - queue.numSequences);
  const numTokensWaiting =
    tokensWithoutRow(queue, numFreeRows) + tokensWithoutRow({ numSequences, numTokens }, numFreeForNewcomer);
  if (numTokensWaiting > limits.maxQueuedTokens) throw full("queue_tokens", halfMs);
}

/** Of those for whom there is no row, taking all to be of the same length. */
function tokensWithoutRow({ numSequences, numTokens }: WaitingTotals, numFreeRows: number): number {
  return numTokens * Math.max(0, 1 - numFreeRows / Math.max(1, numSequences));
}

function full(reason: RefusalReason, waitMs: number): GenerationError {
  const message = "The server's queue is full. Try again later.";
  return new GenerationError("overloaded", message, retryAfterMs(waitMs), reason);
}

function requireTimely(
  { targets = {} }: ProspectiveRequest,
  prediction: Prediction,
  { maxPredictedWaitMs = Infinity }: AdmissionLimits,
): void {
  const { queueMs, ttftMs, tpotMs, totalMs, alone } = prediction;
  if (queueMs > maxPredictedWaitMs) {
    const message = `The request would wait for about ${seconds(queueMs)} s. Try again later.`;
    const waitMs = queueMs - maxPredictedWaitMs;
    throw new GenerationError("overloaded", message, retryAfterMs(waitMs), "predicted_wait");
  }
  if (!misses(targets, prediction)) return;
  const message = `The deadline cannot be met: a first token is expected after ${Math.ceil(ttftMs)} ms, then one every ${tpotMs.toFixed(1)} ms, the last one after ${Math.ceil(totalMs)} ms.`;
  // What is late even with the engine to itself will be late again.
  const retryMs = misses(targets, alone) ? null : retryAfterMs(latenessMs(targets, prediction));
  throw new GenerationError("deadline_exceeded", message, retryMs, "deadline");
}

function misses(targets: LatencyTargets, times: ExpectedTimes): boolean {
  return latenessMs(targets, times) > 0 || times.tpotMs > (targets.tpotMs ?? Infinity);
}

function latenessMs(targets: LatencyTargets, { ttftMs, totalMs }: ExpectedTimes): number {
  return Math.max(ttftMs - (targets.ttftMs ?? Infinity), totalMs - (targets.totalMs ?? Infinity));
}

function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(1);
}

function requireServing(state: AdmissionState): void {
  switch (state.engineState) {
    case "ready":
    case "restarting":
      return;
    case "loading":
      throw new GenerationError("model_loading", "The model is still loading.", MIN_RETRY_MS);
    case "draining":
    case "stopped":
      throw new GenerationError("shutting_down", "The server is shutting down.", MIN_RETRY_MS);
    case "failed":
      throw new GenerationError(
        "engine_unavailable",
        "The engine failed and could not be restarted.",
        MAX_RETRY_MS,
      );
  }
}

function requireFit({ longestPrompt = 0, maxTokens }: ProspectiveRequest, model: ModelInfo | null): void {
  if (model === null || longestPrompt + Math.min(1, maxTokens) <= model.maxModelLen) return;
  const message = `The prompt has ${longestPrompt} tokens; the context holds ${model.maxModelLen}, output included.`;
  throw new GenerationError("context_length_exceeded", message);
}
