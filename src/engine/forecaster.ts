import type { SchedulerStats } from "../../scheduler/contracts.ts";
import { QueueModel, type Pace } from "../../scheduler/queue-model.ts";
import type { ModelInfo } from "../../models/model-info.ts";
import type { Forecast, ProspectiveRequest } from "./generation.ts";
import type { FinishedRequest } from "./observer.ts";
import type { StepTimes } from "./protocol.ts";
import type { SequenceLedger } from "./sequence-ledger.ts";
import type { WaitingTotals } from "./waiting-work.ts";

export interface EngineLoad {
  readonly stats: SchedulerStats;
  /** Null until it is loaded: nothing can be told then. */
  readonly model: ModelInfo | null;
  readonly meanRunAgeMs: number;
}

/** What goes first: sequences that wait for their first row, and before them those that lost theirs. */
interface Ahead {
  readonly waiting: WaitingTotals;
  readonly interrupted: WaitingTotals;
}

/** Tells how long requests will take, from how long steps and requests have been taking. */
export class Forecaster {
  readonly #model = new QueueModel();
  readonly #ledger: Pick<SequenceLedger, "waiting" | "interrupted">;
  readonly #load: () => EngineLoad;

  constructor(ledger: Pick<SequenceLedger, "waiting" | "interrupted">, load: () => EngineLoad) {
    this.#ledger = ledger;
    this.#load = load;
  }

  /** The engine is up and has told how fast it is. */
  noteReady(pace: Pace): void {
    this.#model.expect(pace);
  }

  noteStep(times: StepTimes, stats: SchedulerStats): void {
    this.#model.observeStep(times);
    if (stats.numRunning + stats.numWaiting === 0) this.#model.noteIdle();
  }

  noteFinished({ ttftMs, prefillMs, decodeMs, maxNumGeneratedTokens }: FinishedRequest): void {
    if (ttftMs !== null) this.#model.observeRun(prefillMs + decodeMs, maxNumGeneratedTokens);
  }

  /** Of a newcomer or, given what its tenant has waiting before it, of one in the queue. */
  forecast(request: ProspectiveRequest, ownAhead: WaitingTotals | null = null): Forecast {
    const { tenantId, priority, numPromptTokens } = request;
    const { waiting, interrupted } = this.#ledger;
    return this.#predict(request, {
      waiting: waiting.ahead({ tenantId, priority, numTokens: numPromptTokens }, ownAhead),
      interrupted: interrupted.upTo(priority),
    });
  }

  /** Until all that waits has started. */
  totalWaitMs(): number {
    const ahead = { waiting: this.#ledger.waiting.totals, interrupted: this.#ledger.interrupted.totals };
    if (ahead.waiting.numSequences === 0) return 0;
    return this.#predict({ numSequences: 0, numPromptTokens: 0, maxTokens: 0 }, ahead).queueMs;
  }

  #predict(
    work: Omit<ProspectiveRequest, "tenantId" | "priority">,
    { waiting, interrupted }: Ahead,
  ): Forecast {
    const { stats, model, meanRunAgeMs } = this.#load();
    const blockSize = model?.kvPool.blockSize ?? 0;
    const { free, cached, used } = stats.blocks;
    const numAhead = waiting.numSequences + interrupted.numSequences;
    // The scheduler holds back a block for each sequence that runs by then.
    const numFreeBlocks = free + cached - stats.numRunning - numAhead;
    const load = {
      numAhead,
      numTokensAhead: waiting.numTokens,
      numInterrupted: interrupted.numSequences,
      numInterruptedTokens: interrupted.numTokens,
      numRunning: stats.numRunning,
      maxNumSeqs: model?.maxNumSeqs ?? 0,
      // In slices there is room for whoever has a row.
      numFreeTokens: model?.kvLayout === "streams" ? Infinity : numFreeBlocks * blockSize,
      numHeldTokens: used * blockSize,
      meanRunAgeMs,
    };
    return { ...this.#model.predict(load, work), numAhead };
  }
}

/** Of those that have had a row; 0 when there is none. */
export function meanAgeOfRuns(
  generations: Iterable<{ readonly scheduledAtMs: number | null }>,
  nowMs: number,
): number {
  let totalMs = 0;
  let numRunning = 0;
  for (const { scheduledAtMs } of generations) {
    if (scheduledAtMs === null) continue;
    totalMs += nowMs - scheduledAtMs;
    numRunning += 1;
  }
  return numRunning === 0 ? 0 : totalMs / numRunning;
}
