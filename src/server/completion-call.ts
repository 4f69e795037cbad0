import type { Generation, GenerationRequest, LatencyTargets, Prompt } from "../engine/generation.ts";
import { boundPriority } from "../../scheduler/urgency.ts";
import { TextPoolBusyError } from "../text-pool/text-pool-error.ts";
import { requestAborted } from "./api-error.ts";
import { cacheSaltOf } from "./cache-salt.ts";
import type { AppDependencies } from "./dependencies.ts";
import type { CompletionSink, GenerationPhase } from "./delivery/completion-sink.ts";
import type { Admission, AdmittedCall } from "./admission.ts";
import type { CompletionFormat } from "./openai/completion-format.ts";
import { boundOutput, refuseOverlongText } from "./openai/context-limit.ts";
import type { ParsedCompletion } from "./openai/endpoint.ts";
import { shareHolder } from "./share-holder.ts";

/** Who asks, as the transport found out. */
export interface Caller {
  readonly requestId: string;
  /** Separates callers from each other's cached prompts; the same for all when no keys are set. */
  readonly tenantId: string;
  /** From a header; wins over the body. */
  readonly priority: number | null;
  /** Whom the request is made for, where keys do not tell callers apart: shares are taken by name. */
  readonly fairnessId: string | null;
  /** From headers; those of the body win. */
  readonly targets: LatencyTargets;
}

export interface CompletionCallOptions {
  readonly id: string;
  readonly caller: Caller;
  readonly parsed: ParsedCompletion;
  readonly dependencies: AppDependencies;
  readonly admission: Admission;
  readonly maxModelLen: number;
  readonly longestPiece: number;
  readonly systemFingerprint: string;
}

/** A call with its prompts tokenized and its output bounded: all that is left is to run it. */
export interface PreparedCall {
  readonly request: GenerationRequest;
  readonly format: CompletionFormat;
}

/**
 * One admitted request from admission to its end. It holds a place until it is finished, whichever way that comes:
 * the answer ends, the client leaves, an operator aborts it, or it is refused on the way.
 */
export class CompletionCall implements AdmittedCall {
  readonly id: string;
  readonly requestId: string;
  readonly tenantId: string;
  readonly parsed: ParsedCompletion;
  readonly numChoices: number;
  readonly #options: CompletionCallOptions;
  #generation: Generation | null = null;
  #sink: CompletionSink | null = null;
  #isPaused = false;
  #isFinished = false;

  constructor(options: CompletionCallOptions) {
    this.#options = options;
    this.id = options.id;
    this.requestId = options.caller.requestId;
    this.tenantId = options.caller.tenantId;
    this.parsed = options.parsed;
    this.numChoices = options.parsed.numPrompts * options.parsed.options.numChoices;
  }

  get isFinished(): boolean {
    return this.#isFinished;
  }

  get phase(): GenerationPhase {
    return this.#sink?.phase ?? "queued";
  }

  /** Tokenizes. Throws ApiError when the prompt does not fit, and the text service's own errors. */
  async prepare(): Promise<PreparedCall> {
    const { parsed, dependencies, maxModelLen, longestPiece } = this.#options;
    refuseOverlongText(parsed, maxModelLen, longestPiece);
    const prompts = await parsed.tokenize(dependencies.text).catch((error: unknown) => {
      if (error instanceof TextPoolBusyError) dependencies.telemetry.engine.onRefused("overloaded");
      throw error;
    });
    const maxTokens = boundOutput(parsed, prompts, maxModelLen);
    return { request: this.#toRequest(prompts, maxTokens), format: this.#toFormat(prompts) };
  }

  /** Starts generating. Throws GenerationError when the engine refuses, and ApiError when aborted meanwhile. */
  run(request: GenerationRequest, sink: CompletionSink): void {
    if (this.#isFinished) throw requestAborted();
    this.#sink = sink;
    this.#generation = this.#options.dependencies.engine.generate(request, sink);
    // The sink may have ended before there was a generation to end.
    if (this.#isFinished) this.#generation.abort();
    else if (this.#isPaused) this.#generation.pause();
  }

  /** Also before it runs: it is paused then from its start. */
  pause(): void {
    this.#isPaused = true;
    this.#generation?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#generation?.resume();
  }

  /** Ends the call on behalf of an operator: the client is told. */
  abort(): void {
    const sink = this.#sink;
    this.finish();
    sink?.fail(requestAborted());
  }

  /** Frees everything the call holds. Harmless when called again. */
  finish(): void {
    if (this.#isFinished) return;
    this.#isFinished = true;
    this.#generation?.abort();
    this.#options.admission.leave(this);
  }

  #toRequest(prompts: readonly Prompt[], maxTokens: number): GenerationRequest {
    const { caller, parsed, id } = this.#options;
    const { options } = parsed;
    const minTokens = Math.min(options.sampling.minTokens, maxTokens);
    return {
      requestId: id,
      prompts,
      numChoices: options.numChoices,
      sampling: { ...options.sampling, minTokens },
      maxTokens,
      stopStrings: options.stopStrings,
      includeStopString: options.includeStopString,
      continuesText: parsed.continuesText,
      priority: boundPriority(caller.priority ?? options.priority),
      tenantId: shareHolder(caller, options.user),
      targets: { ...caller.targets, ...options.targets },
      cacheSalt: cacheSaltOf(caller.tenantId, options.cacheSalt),
    };
  }

  #toFormat(prompts: readonly Prompt[]): CompletionFormat {
    const { parsed, id, dependencies, systemFingerprint } = this.#options;
    const model = dependencies.config.servedModelName;
    const created = Math.floor(Date.now() / 1000);
    return parsed.format({ id, created, model, systemFingerprint }, prompts);
  }
}
