import { GenerationError } from "./generation.ts";
import type { EngineState, GenerationRequest } from "./generation.ts";
import type { ModelInfo } from "../../models/model-info.ts";

export interface AdmissionLimits {
  /** Sequences waiting for their first row, over all requests. */
  readonly maxQueuedSequences: number;
  /** Prompt tokens of those sequences. */
  readonly maxQueuedTokens: number;
}

export interface AdmissionState {
  readonly engineState: EngineState;
  readonly model: ModelInfo | null;
  readonly numQueuedSequences: number;
  readonly numQueuedTokens: number;
  /** Recent rate at which waiting sequences get started, per second; 0 when unknown. */
  readonly startsPerSecond: number;
}

const MIN_RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;

/** Refuses by throwing, before anything is queued; returns when the request may enter. */
export function admit(request: GenerationRequest, state: AdmissionState, limits: AdmissionLimits): void {
  requireServing(state);
  requireFit(request, state.model);
  const numSequences = request.prompts.length * request.numChoices;
  let numTokens = 0;
  for (const prompt of request.prompts) numTokens += prompt.tokenIds.length * request.numChoices;
  const isFull =
    state.numQueuedSequences + numSequences > limits.maxQueuedSequences ||
    state.numQueuedTokens + numTokens > limits.maxQueuedTokens;
  if (!isFull) return;
  throw new GenerationError(
    "overloaded",
    "The server's queue is full. Try again later.",
    retryAfterMs(state.numQueuedSequences, state.startsPerSecond),
  );
}

/** Time until about half of the queue has started: a place is then likely to be free. Clamped to what SDKs obey. */
export function retryAfterMs(numQueued: number, startsPerSecond: number): number {
  if (startsPerSecond <= 0) return MIN_RETRY_MS;
  const waitMs = (numQueued / 2 / startsPerSecond) * 1000;
  return Math.round(Math.min(MAX_RETRY_MS, Math.max(MIN_RETRY_MS, waitMs)));
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

function requireFit(request: GenerationRequest, model: ModelInfo | null): void {
  if (model === null) return;
  for (const { tokenIds } of request.prompts) {
    if (tokenIds.length + Math.min(1, request.maxTokens) <= model.maxModelLen) continue;
    throw new GenerationError(
      "context_length_exceeded",
      `The prompt has ${tokenIds.length} tokens; the context holds ${model.maxModelLen}, output included.`,
    );
  }
}
