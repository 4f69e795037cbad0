import type { SchedulerStats } from "../../scheduler/contracts.ts";
import { QueueModel, type Pace } from "../../scheduler/queue-model.ts";
import type { ModelInfo } from "../../models/model-info.ts";
import type { Forecast, ProspectiveRequest } from "./generation.ts";
import type { FinishedRequest } from "./observer.ts";
import type { StepTimes } from "./protocol.ts";
import type { WaitingTotals, WaitingWork } from "./waiting-work.ts";

export interface EngineLoad {
  readonly stats: SchedulerStats;
  /** Null until it is loaded: nothing can be told then. */
  readonly model: ModelInfo | null;
  readonly meanRunAgeMs: number;
}

/** Tells how long requests will take, from how long steps and requests have been taking. */
export class Forecaster {
  readonly #model = new QueueModel();
  readonly #waiting: WaitingWork;
  readonly #load: () => EngineLoad;

  constructor(waiting: WaitingWork, load: () => EngineLoad) {
    this.#waiting = waiting;
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
    const ahead = this.#waiting.ahead({ tenantId, priority, numTokens: numPromptTokens }, ownAhead);
    return this.#predict(request, ahead);
  }

  /** Until all that waits has started. */
  totalWaitMs(): number {
    return this.#predict({ numSequences: 0, numPromptTokens: 0, maxTokens: 0 }, this.#waiting.totals).queueMs;
  }

  #predict(work: Omit<ProspectiveRequest, "tenantId" | "priority">, ahead: WaitingTotals): Forecast {
    const { stats, model, meanRunAgeMs } = this.#load();
    const blockSize = model?.kvPool.blockSize ?? 0;
    const { free, cached, used } = stats.blocks;
    const load = {
      numAhead: ahead.numSequences,
      numTokensAhead: ahead.numTokens,
      numRunning: stats.numRunning,
      maxNumSeqs: model?.maxNumSeqs ?? 0,
      numFreeTokens: (free + cached) * blockSize,
      numHeldTokens: used * blockSize,
      meanRunAgeMs,
    };
    return { ...this.#model.predict(load, work), numAhead: ahead.numSequences };
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
