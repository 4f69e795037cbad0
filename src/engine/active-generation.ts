import { retryAfterMs } from "./admission.ts";
import type { Choice, ChoiceUpdate } from "./choice.ts";
import type { SequenceOutput } from "./protocol.ts";
import type { EngineObserver, FinishedRequest } from "./observer.ts";
import { metTargets, patienceOf, type MeasuredTimes } from "./latency-targets.ts";
import { GenerationError } from "./generation.ts";
import type {
  ChoiceEnd,
  Generation,
  GenerationRequest,
  GenerationSink,
  GenerationSummary,
  QueuePlace,
} from "./generation.ts";

/** How a generation reaches the engine; implemented by the client that owns it. */
export interface GenerationPort {
  abortSequences(sequenceIds: readonly string[]): void;
  pauseSequences(sequenceIds: readonly string[]): void;
  resumeSequences(sequenceIds: readonly string[]): void;
  /** The generation is over, whatever the reason. */
  onClosed(generation: ActiveGeneration, finished: FinishedRequest): void;
  /** Until all that waits has started. */
  totalWaitMs(): number;
}

export interface ActiveGenerationOptions {
  readonly request: GenerationRequest;
  readonly choices: readonly Choice[];
  readonly sink: GenerationSink;
  readonly port: GenerationPort;
  readonly observer: EngineObserver;
  readonly now: () => number;
}

/** When a step's outcome arrived, and how long the step took. */
export interface StepMoment {
  readonly nowMs: number;
  readonly stepMs: number;
}

/** A generation in flight: routes step outputs to its choices and its news to the sink, and ends exactly once. */
export class ActiveGeneration implements Generation {
  readonly request: GenerationRequest;
  readonly choices: readonly Choice[];
  readonly #sink: GenerationSink;
  readonly #port: GenerationPort;
  readonly #observer: EngineObserver;
  readonly #now: () => number;
  readonly #acceptedAtMs: number;
  readonly #ends: ChoiceEnd[] = [];
  #scheduledAtMs: number | null = null;
  #firstTokenAtMs: number | null = null;
  #expiry: NodeJS.Timeout | null = null;
  #isClosed = false;
  #pausedAtMs: number | null = null;
  #pausedMs = 0;

  constructor(options: ActiveGenerationOptions) {
    this.request = options.request;
    this.choices = options.choices;
    this.#sink = options.sink;
    this.#port = options.port;
    this.#observer = options.observer;
    this.#now = options.now;
    this.#acceptedAtMs = options.now();
    this.#expireAfter(patienceOf(this.request.targets ?? {}));
  }

  get requestId(): string {
    return this.request.requestId;
  }

  get isPaused(): boolean {
    return this.#pausedAtMs !== null;
  }

  get acceptedAtMs(): number {
    return this.#acceptedAtMs;
  }

  /** When its first row was computed; null before. */
  get scheduledAtMs(): number | null {
    return this.#scheduledAtMs;
  }

  /** Wants to hear of its place in the queue. */
  get asksForPlace(): boolean {
    return this.#sink.onQueued !== undefined && this.#scheduledAtMs === null && !this.#isClosed;
  }

  tellPlace(place: QueuePlace): void {
    this.#sink.onQueued?.(place);
  }

  abort(): void {
    if (this.#isClosed) return;
    this.#port.abortSequences(this.#unfinishedIds());
    this.#close("abort");
  }

  pause(): void {
    if (this.isPaused || this.#isClosed) return;
    this.#pausedAtMs = this.#now();
    this.#port.pauseSequences(this.#unfinishedIds());
  }

  resume(): void {
    if (!this.isPaused || this.#isClosed) return;
    this.#endPause();
    this.#port.resumeSequences(this.#unfinishedIds());
  }

  /**
   * Takes in what a step that took `stepMs` did for one choice. Returns the gap to its previous token, if there was
   * one.
   */
  accept(choice: Choice, output: SequenceOutput, { nowMs, stepMs }: StepMoment): number | null {
    this.#noteSchedule(choice, output, nowMs - stepMs);
    if (output.promptLogprobs !== undefined) {
      this.#sink.onPromptLogprobs?.(choice.promptIndex, output.promptLogprobs);
    }
    const gapMs = output.tokenId === undefined ? null : this.#noteToken(choice, nowMs);
    this.#publish(choice.accept(output), choice);
    return gapMs;
  }

  fail(error: GenerationError): void {
    if (this.#isClosed) return;
    this.#port.abortSequences(this.#unfinishedIds());
    this.#close("error");
    this.#sink.onError(error);
  }

  /** What counts is the time that the engine would have had rows for it. */
  #endPause(): void {
    const nowMs = this.#now();
    if (this.#pausedAtMs !== null)
      this.#pausedMs += nowMs - Math.max(this.#pausedAtMs, this.#scheduledAtMs ?? nowMs);
    this.#pausedAtMs = null;
  }

  #expireAfter(delayMs: number | null): void {
    if (delayMs !== null) this.#expiry = setTimeout(() => this.#expire(), delayMs);
  }

  /** Work that nobody waits for any more is dropped; who has missed only the target of its first token goes on. */
  #expire(): void {
    const { totalMs } = this.request.targets ?? {};
    const ageMs = this.#now() - this.#acceptedAtMs;
    const hasStarted = this.#scheduledAtMs !== null;
    if (hasStarted && totalMs === undefined) return;
    // Timers may fire a little early.
    if (hasStarted && totalMs! - ageMs > 1) return this.#expireAfter(totalMs! - ageMs);
    const message = `The request's deadline passed before ${hasStarted ? "its end" : "it could start"}.`;
    if (!hasStarted) this.#observer.onRefused("deadline");
    // What was too slow once it ran will be too slow again; what only waited may find a shorter queue.
    const retryMs = hasStarted ? null : retryAfterMs(this.#port.totalWaitMs() / 2);
    this.fail(new GenerationError("deadline_exceeded", message, retryMs, "deadline"));
  }

  #publish(update: ChoiceUpdate, choice: Choice): void {
    if (update.delta !== null) this.#sink.onDelta(update.delta);
    if (update.mustAbort) this.#port.abortSequences([choice.sequenceId]);
    if (update.end === null || this.#isClosed) return;
    this.#ends.push(update.end);
    this.#sink.onChoiceEnd(update.end);
    if (this.#ends.length < this.choices.length || this.#isClosed) return;
    const summary = this.#summary();
    this.#close(null);
    this.#sink.onEnd(summary);
  }

  #noteSchedule(choice: Choice, output: SequenceOutput, startMs: number): void {
    if (output.numCachedTokens !== undefined && choice.numGeneratedTokens === 0) {
      choice.numCachedTokens = output.numCachedTokens;
      this.#scheduledAtMs ??= Math.max(startMs, this.#acceptedAtMs);
    }
    if (output.numComputedTokens !== undefined && choice.numGeneratedTokens === 0) {
      this.#sink.onProgress?.({
        promptIndex: choice.promptIndex,
        numPromptTokens: this.#promptLength(choice),
        numCachedTokens: choice.numCachedTokens,
        numComputedTokens: output.numComputedTokens,
      });
    }
  }

  #noteToken(choice: Choice, nowMs: number): number | null {
    const previousMs = choice.lastTokenAtMs;
    choice.lastTokenAtMs = nowMs;
    choice.firstTokenAtMs ??= nowMs;
    if (this.#firstTokenAtMs === null) {
      this.#firstTokenAtMs = nowMs;
      this.#observer.onFirstToken(nowMs - this.#acceptedAtMs);
    }
    return previousMs === null ? null : nowMs - previousMs;
  }

  #promptLength(choice: Choice): number {
    return this.request.prompts[choice.promptIndex]?.tokenIds.length ?? 0;
  }

  #unfinishedIds(): string[] {
    return this.choices.filter((choice) => !choice.hasEnded).map((choice) => choice.sequenceId);
  }

  #close(cutShortBy: "abort" | "error" | null): void {
    this.#isClosed = true;
    this.#endPause();
    if (this.#expiry !== null) clearTimeout(this.#expiry);
    const summary = this.#summary();
    const finished = this.#ends.map((end) => end.finishReason);
    const numCut = this.choices.length - finished.length;
    const tpotMs = this.#tpotMs();
    const request = {
      ...summary,
      tenantId: this.request.tenantId,
      metTargets: cutShortBy === "abort" ? null : this.#metTargets({ ...summary, tpotMs }, cutShortBy),
      finishReasons: [...finished, ...Array.from({ length: numCut }, () => cutShortBy ?? "error")],
      numChoices: this.request.numChoices,
      maxTokens: this.request.maxTokens,
      pausedMs: this.#pausedMs,
      maxNumGeneratedTokens: Math.max(...this.choices.map((choice) => choice.numGeneratedTokens)),
      tpotMs,
    };
    this.#port.onClosed(this, request);
    this.#observer.onFinished(request);
  }

  #metTargets(times: MeasuredTimes, cutShortBy: "error" | null): boolean | null {
    const isMet = metTargets(this.request.targets ?? {}, times);
    return isMet === null ? null : isMet && cutShortBy === null;
  }

  /** Mean gap after the first token, over the choices that have one. */
  #tpotMs(): number | null {
    let totalMs = 0;
    let numGaps = 0;
    for (const choice of this.choices) {
      if (choice.firstTokenAtMs === null || choice.lastTokenAtMs === null) continue;
      totalMs += choice.lastTokenAtMs - choice.firstTokenAtMs;
      numGaps += choice.numGeneratedTokens - 1;
    }
    return numGaps > 0 ? totalMs / numGaps : null;
  }

  /** A prompt counts once for all its n choices. */
  #summary(): GenerationSummary {
    const nowMs = this.#now();
    const scheduledAtMs = this.#scheduledAtMs ?? nowMs;
    const firstTokenAtMs = this.#firstTokenAtMs;
    return {
      numPromptTokens: sum(this.request.prompts.map((prompt) => prompt.tokenIds.length)),
      numCachedTokens: this.#numCachedTokens(),
      numGeneratedTokens: sum(this.choices.map((choice) => choice.numGeneratedTokens)),
      queueMs: scheduledAtMs - this.#acceptedAtMs,
      prefillMs: (firstTokenAtMs ?? nowMs) - scheduledAtMs,
      decodeMs: nowMs - (firstTokenAtMs ?? nowMs),
      ttftMs: firstTokenAtMs === null ? null : firstTokenAtMs - this.#acceptedAtMs,
      e2eMs: nowMs - this.#acceptedAtMs,
    };
  }

  /** What the cache saved for the request: of each prompt, the first choice's hit (its siblings always hit). */
  #numCachedTokens(): number {
    const firstChoices = this.choices.filter((choice) => choice.choiceIndex % this.request.numChoices === 0);
    return sum(firstChoices.map((choice) => choice.numCachedTokens));
  }
}

function sum(values: readonly number[]): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
