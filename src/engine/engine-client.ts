import type { PinnedPrefix, SchedulerStats } from "../../scheduler/contracts.ts";
import type { ModelInfo } from "../../models/model-info.ts";
import { ActiveGeneration, type GenerationPort, type StepMoment } from "./active-generation.ts";
import { prospectOf, refusalOf, type AdmissionLimits } from "./admission.ts";
import { createChoices, type ChoiceParts } from "./create-choices.ts";
import { EngineSupervisor, type SupervisorOptions } from "./engine-supervisor.ts";
import { engineUnavailable, SnapshotRequests, type EngineSnapshot } from "./engine-snapshot.ts";
import { Forecaster } from "./forecaster.ts";
import { GenerationError } from "./generation.ts";
import type {
  Engine,
  EngineState,
  Forecast,
  Generation,
  GenerationRequest,
  GenerationSink,
  ProspectiveRequest,
  QueueState,
} from "./generation.ts";
import { firstTokenWithin } from "./latency-targets.ts";
import { NO_STATS } from "./no-stats.ts";
import type { EngineObserver, FinishedRequest } from "./observer.ts";
import { sharedBlockSize } from "./prompt-size.ts";
import type { FromEngine, SequenceOutput } from "./protocol.ts";
import { QueueReporter } from "./queue-reporter.ts";
import { RecentPrefixes } from "./recent-prefixes.ts";
import { SequenceLedger } from "./sequence-ledger.ts";
import { within } from "./within.ts";

export interface EngineClientOptions extends Omit<ChoiceParts, "nextSequenceId" | "firstTokenWithinMs"> {
  readonly limits: AdmissionLimits;
  readonly observer: EngineObserver;
  /** The engine keeps what it has computed for requests that begin alike, also when nothing uses it. */
  readonly keepsPrefixes: boolean;
  readonly supervisor: Omit<SupervisorOptions, "onMessage" | "onDeath" | "onUp" | "onGivenUp" | "hasWork">;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** The server's view of its engine: admits generations, carries them over engine deaths, delivers their tokens. */
export class EngineClient implements Engine, GenerationPort {
  readonly #options: EngineClientOptions;
  readonly #supervisor: EngineSupervisor;
  readonly #ledger: SequenceLedger;
  readonly #generations = new Set<ActiveGeneration>();
  readonly #snapshots = new SnapshotRequests();
  readonly #prefixes: RecentPrefixes;
  readonly #forecaster: Forecaster;
  readonly #queueReporter: QueueReporter;
  #stats = NO_STATS;
  #isClosing = false;
  #sequenceCount = 0;
  #onIdle: (() => void) | null = null;
  #onRestart = (): void => {};

  constructor(options: EngineClientOptions) {
    this.#options = options;
    this.#ledger = new SequenceLedger((message) => {
      this.#supervisor.post(message);
    });
    this.#prefixes = new RecentPrefixes(() => {
      const { hostBlocks, numDiskBlocks } = this.#stats;
      const numBlocks = (this.model?.kvPool.numBlocks ?? 0) + hostBlocks.total + numDiskBlocks;
      return { blockSize: sharedBlockSize(this.model), maxBlocks: options.keepsPrefixes ? numBlocks : 0 };
    });
    this.#forecaster = new Forecaster(this.#ledger, () => ({
      stats: this.stats(),
      model: this.model,
      nowMs: options.now(),
    }));
    this.#queueReporter = new QueueReporter(this.#ledger, this.#forecaster);
    this.#supervisor = new EngineSupervisor({
      ...options.supervisor,
      hasWork: () => this.#ledger.hasRunnable(),
      onMessage: (message) => {
        if (message.type === "step") this.#onStep(message);
        if (message.type === "snapshot") this.#snapshots.answer(message.id, message.snapshot);
        if (message.type === "ready") {
          options.observer.onThreads(message.info.numThreads);
          this.#forecaster.noteReady(message.pace);
        }
        if (message.type === "threads") options.observer.onThreads(message.numThreads);
      },
      onUp: () => {
        this.#ledger.connect();
        if (this.numRestarts > 0) this.#onRestart();
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

  /** As of the latest step, but what came since counts as waiting; between two engines everything unfinished does. */
  stats(): SchedulerStats {
    const isUp = this.#supervisor.state === "ready";
    const numRunning = isUp ? this.#stats.numRunning : 0;
    const numWaiting = isUp ? this.#stats.numWaiting : 0;
    return { ...this.#stats, numRunning, numWaiting: Math.max(numWaiting, this.#ledger.size - numRunning) };
  }

  queue(): QueueState {
    const [oldest] = this.#ledger.queued();
    return {
      ...this.#ledger.waiting.totals,
      oldestMs: oldest === undefined ? 0 : this.#options.now() - oldest.generation.acceptedAtMs,
      predictedWaitMs: this.totalWaitMs(),
    };
  }

  forecast(request: ProspectiveRequest): Forecast {
    return this.#forecaster.forecast(request);
  }

  refusalOf(request: ProspectiveRequest, prediction = this.forecast(request)): GenerationError | null {
    const queue = this.#ledger.waiting.totals;
    const state = {
      engineState: this.state,
      model: this.model,
      queue,
      // Those that are paused give way.
      numStarted: this.#ledger.runAgesMs(this.#options.now()).length,
      tenantQueue: this.#ledger.waiting.totalsOf(request.tenantId),
      prediction,
    };
    return refusalOf(request, state, this.#options.limits);
  }

  totalWaitMs(): number {
    return this.#forecaster.totalWaitMs();
  }

  unpin(prefix: PinnedPrefix): void {
    this.#supervisor.post({ unpin: [prefix] });
  }

  onRestart(listener: () => void): void {
    this.#onRestart = listener;
  }

  async snapshot(): Promise<EngineSnapshot> {
    if (this.#supervisor.state !== "ready") throw engineUnavailable();
    const snapshot = await this.#snapshots.ask((id) => this.#supervisor.post({ snapshot: [id] }));
    return this.#ledger.withRequestIds(snapshot);
  }

  generate(request: GenerationRequest, sink: GenerationSink): Generation {
    const { observer, now, createAssembler, pieceOf } = this.#options;
    const sizes = this.#prefixes.sizesOf(request);
    const prospect = prospectOf(request, sizes);
    const forecast = this.forecast(prospect);
    const refusal = this.refusalOf(prospect, forecast);
    if (refusal !== null) {
      observer.onRefused(refusal.reason ?? refusal.code);
      throw refusal;
    }
    for (const { tokenIds } of request.prompts) this.#prefixes.note(tokenIds, request.cacheSalt);
    const nextSequenceId = (): string => (this.#sequenceCount++).toString(36);
    const firstTokenWithinMs = firstTokenWithin(request.targets ?? {}, forecast.totalMs - forecast.ttftMs);
    const choices = createChoices(request, { nextSequenceId, createAssembler, pieceOf, firstTokenWithinMs });
    const generation = new ActiveGeneration({ request, choices, sink, port: this, observer, now });
    this.#generations.add(generation);
    observer.onAccepted();
    for (const choice of choices) {
      const { first = 0, further = 0 } = sizes[choice.promptIndex] ?? {};
      const isFirst = choice.choiceIndex % request.numChoices === 0;
      this.#ledger.add(choice, generation, isFirst ? first : further);
    }
    if (generation.asksForPlace) this.#queueReporter.start();
    return generation;
  }

  async close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    this.#queueReporter.stop();
    if (this.#generations.size > 0) await within(graceMs, this.#whenIdle());
    this.#failAll("shutting_down", "The server is shutting down.");
    await this.#supervisor.stop();
    this.#snapshots.failAll();
  }

  abortSequences(sequenceIds: readonly string[]): void {
    for (const sequenceId of sequenceIds) this.#ledger.remove(sequenceId, true);
  }

  pauseSequences(sequenceIds: readonly string[]): void {
    this.#supervisor.post({ pause: sequenceIds });
    const nowMs = this.#options.now();
    for (const sequenceId of sequenceIds) this.#ledger.notePaused(sequenceId, nowMs);
  }

  resumeSequences(sequenceIds: readonly string[]): void {
    this.#supervisor.post({ resume: sequenceIds });
    const nowMs = this.#options.now();
    for (const sequenceId of sequenceIds) this.#ledger.noteResumed(sequenceId, nowMs);
  }

  onClosed(generation: ActiveGeneration, finished: FinishedRequest): void {
    this.#generations.delete(generation);
    this.#forecaster.noteFinished(finished);
    this.#noteAnswers(generation);
    if (this.#generations.size === 0) this.#onIdle?.();
  }

  /** The next turn of a conversation begins with them. Only the deterministic mode does not share them. */
  #noteAnswers({ choices, request }: ActiveGeneration): void {
    if (this.model?.isDeterministic !== false) return;
    for (const choice of choices) {
      if (choice.numGeneratedTokens > 0)
        this.#prefixes.note(choice.replayRequest().tokens, request.cacheSalt);
    }
  }

  #onStep(step: Extract<FromEngine, { type: "step" }>): void {
    this.#stats = step.stats;
    this.#forecaster.noteStep(step);
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
    if (output.numCachedTokens !== undefined) this.#ledger.noteStarted(output.requestId, moment.nowMs);
    if (output.preempted === true) {
      this.#options.observer.onPreempted();
      this.#ledger.noteInterrupted(output.requestId);
    }
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
    this.#snapshots.failAll();
    this.#prefixes.clear();
    const culprit = this.#ledger.disconnect(isSelfInflicted);
    culprit?.generation.fail(
      new GenerationError("internal_error", "The engine crashed twice on this request; it was given up."),
    );
  }

  async #whenIdle(): Promise<void> {
    return new Promise((resolve) => {
      this.#onIdle = resolve;
    });
  }

  #failAll(code: "engine_unavailable" | "shutting_down", message: string): void {
    for (const generation of this.#generations) generation.fail(new GenerationError(code, message, 1000));
  }
}
