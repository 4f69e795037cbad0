import { randomUUID } from "node:crypto";
import type { Generation, GenerationRequest } from "../engine/generation.ts";
import type { DisconnectPhase } from "../telemetry/server-metrics.ts";
import { requestAborted } from "./api-error.ts";
import type { AppDependencies } from "./dependencies.ts";
import { parseGenerationOptions } from "./openai/generation-options.ts";
import type { RegisteredPrefix } from "./prefix-store.ts";

export interface PrefixToCompute extends Pick<RegisteredPrefix, "id" | "tokens" | "tenantId" | "cacheSalt"> {
  readonly ttlMs: number;
  readonly priority: number;
}

/** The computation of a prompt that is kept under the name of its prefix. It can be given up at any time. */
export class PrefixComputation {
  #generation: Generation | null = null;
  #isFinished = false;
  #phase: DisconnectPhase = "queued";
  #reject: (error: Error) => void = () => {};

  get isFinished(): boolean {
    return this.#isFinished;
  }

  get phase(): DisconnectPhase {
    return this.#phase;
  }

  /** Resolves when the prompt is computed. Rejects with GenerationError, and with ApiError when it is given up. */
  run(prefix: PrefixToCompute, dependencies: AppDependencies): Promise<void> {
    const request = toRequest(prefix, dependencies);
    return new Promise((resolve, reject) => {
      if (this.#isFinished) throw requestAborted();
      this.#reject = reject;
      this.#generation = dependencies.engine.generate(request, {
        onProgress: () => {
          this.#phase = "prefill";
        },
        onDelta: () => {},
        onChoiceEnd: () => {},
        onEnd: () => {
          this.#isFinished = true;
          resolve();
        },
        onError: reject,
      });
    });
  }

  /** Frees what the computation holds; whoever waits for it is told. Harmless when called again. */
  finish(): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.#generation?.abort();
    this.#reject(requestAborted());
  }
}

function toRequest(
  { id, tokens, tenantId, cacheSalt, ttlMs, priority }: PrefixToCompute,
  { config, text }: AppDependencies,
): GenerationRequest {
  const { sampling } = parseGenerationOptions(
    {},
    { topLogprobs: null, promptLogprobs: null },
    { config, pieces: text.vocabulary.pieces },
  );
  return {
    requestId: `prefix-${randomUUID()}`,
    prompts: [{ tokenIds: tokens, pins: [{ numTokens: tokens.length, ttlMs, owner: id }] }],
    numChoices: 1,
    sampling,
    maxTokens: 0,
    stopStrings: [],
    includeStopString: false,
    priority,
    tenantId,
    cacheSalt,
  };
}
