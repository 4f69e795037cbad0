import type { SchedulerStats } from "../../scheduler/contracts.ts";
import { QueueModel } from "../../scheduler/queue-model.ts";
import type { ModelInfo } from "../../models/model-info.ts";
import type { Forecast, ProspectiveRequest } from "./generation.ts";
import type { FinishedRequest } from "./observer.ts";
import type { StepTimes } from "./protocol.ts";
import type { WaitingTotals, WaitingWork } from "./waiting-work.ts";

export interface EngineLoad {
  readonly stats: SchedulerStats;
  /** Null until it is loaded: nothing can be told then. */
  readonly model: ModelInfo | null;
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
    const { stats, model } = this.#load();
    const blockSize = model?.kvPool.blockSize ?? 0;
    const { free, cached, used } = stats.blocks;
    const load = {
      numAhead: ahead.numSequences,
      numTokensAhead: ahead.numTokens,
      numRunning: stats.numRunning,
      maxNumSeqs: model?.maxNumSeqs ?? 0,
      numFreeTokens: (free + cached) * blockSize,
      numHeldTokens: used * blockSize,
    };
    return { ...this.#model.predict(load, work), numAhead: ahead.numSequences };
  }
}
