import type { PinnedPrefix, SchedulerStats } from "../../scheduler/contracts.ts";
import type { ModelInfo } from "../../models/model-info.ts";
import { ActiveGeneration, type GenerationPort, type StepMoment } from "./active-generation.ts";
import { admit, type AdmissionLimits } from "./admission.ts";
import { Choice, type OutputAssembler } from "./choice.ts";
import { EngineSupervisor, type SupervisorOptions } from "./engine-supervisor.ts";
import { GenerationError } from "./generation.ts";
import type { Engine, EngineState, Generation, GenerationRequest, GenerationSink } from "./generation.ts";
import type { EngineObserver } from "./observer.ts";
import type { FromEngine, SequenceOutput } from "./protocol.ts";
import { RateMeter } from "./rate-meter.ts";
import { SequenceLedger } from "./sequence-ledger.ts";

export interface EngineClientOptions {
  readonly limits: AdmissionLimits;
  readonly observer: EngineObserver;
  /** Builds the text side of one choice. */
  readonly createAssembler: (request: GenerationRequest) => OutputAssembler;
  /** Exact bytes of a token. */
  readonly pieceOf: (tokenId: number) => Uint8Array;
  readonly supervisor: Omit<SupervisorOptions, "onMessage" | "onDeath" | "onUp" | "onGivenUp" | "hasWork">;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

const NO_STATS: SchedulerStats = {
  numRunning: 0,
  numWaiting: 0,
  numWaitingTokens: 0,
  blocks: { total: 0, free: 0, cached: 0, used: 0 },
  hostBlocks: { total: 0, used: 0 },
  numPreemptions: 0,
  numParks: 0,
  numPromptTokensComputed: 0,
  numPromptTokensCached: 0,
  numPrefixQueryTokens: 0,
  numPrefixHitTokens: 0,
  numHostHitTokens: 0,
  numGeneratedTokens: 0,
};

/** The server's view of its engine: admits generations, carries them over engine deaths, delivers their tokens. */
export class EngineClient implements Engine, GenerationPort {
  readonly #options: EngineClientOptions;
  readonly #supervisor: EngineSupervisor;
  readonly #ledger: SequenceLedger;
  readonly #generations = new Set<ActiveGeneration>();
  readonly #starts: RateMeter;
  #stats = NO_STATS;
  #isClosing = false;
  #sequenceCount = 0;
  #onIdle: (() => void) | null = null;

  constructor(options: EngineClientOptions) {
    this.#options = options;
    this.#starts = new RateMeter(options.now);
    this.#ledger = new SequenceLedger((message) => {
      this.#supervisor.post(message);
    });
    this.#supervisor = new EngineSupervisor({
      ...options.supervisor,
      hasWork: () => this.#ledger.hasRunnable(),
      onMessage: (message) => {
        if (message.type === "step") this.#onStep(message);
        if (message.type === "ready") options.observer.onThreads(message.info.numThreads);
        if (message.type === "threads") options.observer.onThreads(message.numThreads);
      },
      onUp: () => {
        this.#ledger.connect();
      },
      onDeath: (exit) => {
        this.#onDeath(exit.isSelfInflicted);
      },
      onGivenUp: () => {
        this.#failAll("engine_unavailable", "The engine failed and could not be restarted.");
      },
    });
  }

  /** Starts the first engine. Resolves when it serves; rejects with one sentence when the model is refused. */
  async start(): Promise<ModelInfo> {
    return this.#supervisor.start();
  }

  get state(): EngineState {
    if (!this.#isClosing) return this.#supervisor.state;
    return this.#supervisor.state === "stopped" ? "stopped" : "draining";
  }

  get model(): ModelInfo | null {
    return this.#supervisor.model;
  }

  get notes(): readonly string[] {
    return this.#supervisor.notes;
  }

  get numRestarts(): number {
    return this.#supervisor.numRestarts;
  }

  /** Process id of the running engine, for operators and tests. */
  get enginePid(): number | undefined {
    return this.#supervisor.pid;
  }

  lastStepAgeMs(): number {
    return this.#supervisor.lastStepAgeMs();
  }

  stats(): SchedulerStats {
    if (this.#supervisor.state === "ready") return this.#stats;
    // Between two engines everything unfinished waits.
    return { ...this.#stats, numRunning: 0, numWaiting: this.#ledger.size };
  }

  unpin(prefix: PinnedPrefix, others: readonly PinnedPrefix[]): void {
    this.#supervisor.post({ unpin: [prefix], pin: others });
  }

  generate(request: GenerationRequest, sink: GenerationSink): Generation {
    this.#admit(request);
    const choices = this.#createChoices(request);
    const { observer, now } = this.#options;
    const generation = new ActiveGeneration({ request, choices, sink, port: this, observer, now });
    this.#generations.add(generation);
    observer.onAccepted();
    for (const choice of choices) this.#ledger.add(choice, generation);
    return generation;
  }

  async close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    if (this.#generations.size > 0) await this.#idleWithin(graceMs);
    this.#failAll("shutting_down", "The server is shutting down.");
    await this.#supervisor.stop();
  }

  abortSequences(sequenceIds: readonly string[]): void {
    for (const sequenceId of sequenceIds) this.#ledger.remove(sequenceId, true);
  }

  pauseSequences(sequenceIds: readonly string[]): void {
    this.#supervisor.post({ pause: sequenceIds });
    for (const sequenceId of sequenceIds) this.#ledger.notePaused(sequenceId);
  }

  resumeSequences(sequenceIds: readonly string[]): void {
    this.#supervisor.post({ resume: sequenceIds });
  }

  onClosed(generation: ActiveGeneration): void {
    this.#generations.delete(generation);
    if (this.#generations.size === 0) this.#onIdle?.();
  }

  #admit(request: GenerationRequest): void {
    const queue = this.#ledger.queue();
    try {
      admit(
        request,
        {
          engineState: this.state,
          model: this.model,
          numQueuedSequences: queue.numSequences,
          numQueuedTokens: queue.numTokens,
          startsPerSecond: this.#starts.perSecond(),
        },
        this.#options.limits,
      );
    } catch (error) {
      if (error instanceof GenerationError) this.#options.observer.onRefused(error.code);
      throw error;
    }
  }

  #createChoices(request: GenerationRequest): Choice[] {
    const { createAssembler, pieceOf } = this.#options;
    return request.prompts.flatMap((prompt, promptIndex) =>
      Array.from({ length: request.numChoices }, (_, choiceOfPrompt) => {
        const choiceIndex = promptIndex * request.numChoices + choiceOfPrompt;
        return new Choice({
          request: {
            requestId: (this.#sequenceCount++).toString(36),
            tokens: prompt.tokenIds,
            numReplayedTokens: 0,
            sampling: {
              ...request.sampling,
              choiceIndex,
              // A prompt is scored once for all its choices.
              promptLogprobs: choiceOfPrompt === 0 ? request.sampling.promptLogprobs : null,
            },
            maxTokens: request.maxTokens,
            priority: request.priority,
            tenantId: request.tenantId,
            cacheSalt: request.cacheSalt,
            ...(prompt.pin !== undefined && { pin: prompt.pin }),
          },
          choiceIndex,
          promptIndex,
          assembler: createAssembler(request),
          pieceOf,
        });
      }),
    );
  }

  #onStep(step: Extract<FromEngine, { type: "step" }>): void {
    this.#stats = step.stats;
    const moment = { nowMs: this.#options.now(), stepMs: step.times.executeMs };
    const gapsMs: number[] = [];
    for (const output of step.outputs) this.#onOutput(output, moment, gapsMs);
    const { observer } = this.#options;
    if (gapsMs.length > 0) observer.onTokenGaps(gapsMs);
    observer.onStep(step.times, step.stats);
  }

  #onOutput(output: SequenceOutput, moment: StepMoment, gapsMs: number[]): void {
    // Sequences that were aborted or ended by a stop string may still report a token: it is nobody's.
    const entry = this.#ledger.get(output.requestId);
    if (entry === undefined) return;
    const { choice, generation } = entry;
    if (output.numCachedTokens !== undefined && this.#ledger.noteStarted(output.requestId)) {
      this.#starts.count();
    }
    if (output.preempted === true) this.#options.observer.onPreempted();
    if (output.finishReason === "error") {
      generation.fail(new GenerationError("internal_error", output.error ?? "The engine failed."));
      return;
    }
    if (output.finishReason !== undefined) this.#ledger.remove(output.requestId, false);
    const gapMs = generation.accept(choice, output, moment);
    if (gapMs !== null) gapsMs.push(gapMs);
    if (output.tokenId === undefined) return;
    this.#supervisor.noteProgress();
    this.#ledger.noteTokens(output.requestId);
  }

  #onDeath(isSelfInflicted: boolean): void {
    this.#options.observer.onEngineRestart();
    const culprit = this.#ledger.disconnect(isSelfInflicted);
    culprit?.generation.fail(
      new GenerationError("internal_error", "The engine crashed twice on this request; it was given up."),
    );
  }

  #failAll(code: "engine_unavailable" | "shutting_down", message: string): void {
    for (const generation of this.#generations) generation.fail(new GenerationError(code, message, 1000));
  }

  async #idleWithin(graceMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, graceMs);
      this.#onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#onIdle = null;
  }
}
