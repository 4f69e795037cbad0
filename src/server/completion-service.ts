import { createHash, randomUUID } from "node:crypto";
import type { ModelInfo } from "../../models/model-info.ts";
import type { ProspectiveRequest } from "../engine/generation.ts";
import { Admission } from "./admission.ts";
import { ApiError, invalidValue, modelNotFound } from "./api-error.ts";
import { CompletionCall } from "./completion-call.ts";
import type { Caller } from "./completion-call.ts";
import type { AppDependencies } from "./dependencies.ts";
import { toApiError } from "./error-mapping.ts";
import type { CompletionEndpoint } from "./openai/endpoint.ts";
import { requireServable } from "./servable.ts";

/** Opens calls: parses, checks against the model and admits. What HTTP and WebSocket have in common. */
export class CompletionService {
  readonly admission = new Admission();
  readonly #dependencies: AppDependencies;
  #longestPiece = 0;

  constructor(dependencies: AppDependencies) {
    this.#dependencies = dependencies;
  }

  /** Synchronous, so that a refusal costs next to nothing. Throws ApiError. */
  open(endpoint: CompletionEndpoint, body: unknown, caller: Caller): CompletionCall {
    try {
      return this.#open(endpoint, body, caller);
    } catch (error) {
      if (error instanceof ApiError && error.status === 503) {
        this.#dependencies.telemetry.engine.onRefused(error.rejectedReason ?? "");
      }
      throw error;
    }
  }

  /** `null` names the served model, as in servers that hold only one. */
  requireModel(name: string | null): void {
    if (name !== null && name !== this.#dependencies.config.servedModelName) throw modelNotFound(name);
  }

  /** What a request with one prompt would be told now, without making it; null when it would be let in. */
  refusalOf(request: ProspectiveRequest): ApiError | null {
    const { engine } = this.#dependencies;
    try {
      const model = requireServable(engine);
      this.#checkNumSequences(1, request.numSequences, model);
      this.admission.requireRoom(request.numSequences, this.#numPlaces(model), this.#retryAfterMs);
    } catch (error) {
      return toApiError(error);
    }
    const refusal = engine.refusalOf(request);
    return refusal === null ? null : toApiError(refusal);
  }

  /** By the time that half of the queue has started, a place is likely to be free. */
  readonly #retryAfterMs = (): number => this.#dependencies.engine.queue().predictedWaitMs / 2;

  #open(endpoint: CompletionEndpoint, body: unknown, caller: Caller): CompletionCall {
    const { engine, text, config } = this.#dependencies;
    const model = requireServable(engine);
    const parsed = endpoint.parse(body, { config, pieces: text.vocabulary.pieces });
    this.requireModel(parsed.options.model);
    this.#checkNumSequences(parsed.numPrompts, parsed.options.numChoices, model);
    const call = new CompletionCall({
      id: endpoint.idPrefix + randomUUID().replaceAll("-", ""),
      caller,
      parsed,
      dependencies: this.#dependencies,
      admission: this.admission,
      maxModelLen: model.maxModelLen,
      longestPiece: this.#findLongestPiece(),
      systemFingerprint: fingerprint(model),
    });
    this.admission.enter(call, this.#numPlaces(model), this.#retryAfterMs);
    return call;
  }

  /** Rows, and those who may wait for one. */
  #numPlaces({ maxNumSeqs }: ModelInfo): number {
    return maxNumSeqs + this.#dependencies.config.maxQueue;
  }

  /** A list of prompts must fit beside those of nobody else; many choices of one prompt get in alone. */
  #checkNumSequences(numPrompts: number, numChoices: number, model: ModelInfo): void {
    const { maxNumChoices, maxNumSequences } = this.#dependencies.config;
    if (numChoices > maxNumChoices) {
      throw invalidValue("n", `'n' and 'best_of' must not be greater than ${maxNumChoices}.`);
    }
    const limit = Math.min(maxNumSequences, Math.max(maxNumChoices, this.#numPlaces(model)));
    if (numPrompts * numChoices <= limit) return;
    if (numPrompts > limit) {
      throw invalidValue("prompt", `'prompt' must not hold more than ${limit} prompts on this server.`);
    }
    const message = `'n' or 'best_of' times the number of prompts must not be greater than ${limit}.`;
    throw invalidValue("n", message);
  }

  #findLongestPiece(): number {
    if (this.#longestPiece === 0) {
      for (const piece of this.#dependencies.text.vocabulary.pieces) {
        if (piece.length > this.#longestPiece) this.#longestPiece = piece.length;
      }
    }
    return this.#longestPiece;
  }
}

/** Changes whenever the same seed may give another text: another model, library or device. */
function fingerprint(model: ModelInfo): string {
  const parts = [model.id, model.numParameters, model.sizeBytes, model.libraryVersion, model.backend];
  return `fp_${createHash("sha256").update(parts.join("\n")).digest("hex").slice(0, 10)}`;
}
