import type { SchedulerStats } from "../../scheduler/contracts.ts";
import { QueueModel, type ExpectedWork, type Pace } from "../../scheduler/queue-model.ts";
import { dueTime } from "../../scheduler/urgency.ts";
import type { ModelInfo } from "../../models/model-info.ts";
import type { Forecast, ProspectiveRequest } from "./generation.ts";
import { firstTokenWithin } from "./latency-targets.ts";
import type { FinishedRequest } from "./observer.ts";
import type { FromEngine } from "./protocol.ts";
import type { SequenceLedger } from "./sequence-ledger.ts";
import { NOTHING, type WaitingItem, type WaitingTotals } from "./waiting-work.ts";

export interface EngineLoad {
  readonly stats: SchedulerStats;
  /** Null until it is loaded: nothing can be told then. */
  readonly model: ModelInfo | null;
  readonly nowMs: number;
}

/** What goes first: sequences that wait for their first row, and before them those that lost theirs. */
interface Ahead {
  readonly waiting: WaitingTotals;
  readonly interrupted: WaitingTotals;
}

const NOBODY: Ahead = { waiting: NOTHING, interrupted: NOTHING };

/** One that waits, and what its tenant has waiting before it. */
export interface QueuedWork {
  readonly item: WaitingItem;
  readonly maxTokens: number;
  readonly ownAhead: WaitingTotals;
}

/** Tells how long requests will take, from how long steps and requests have been taking. */
export class Forecaster {
  readonly #model = new QueueModel();
  readonly #ledger: Pick<SequenceLedger, "waiting" | "interrupted" | "runAgesMs">;
  readonly #load: () => EngineLoad;

  constructor(ledger: Pick<SequenceLedger, "waiting" | "interrupted" | "runAgesMs">, load: () => EngineLoad) {
    this.#ledger = ledger;
    this.#load = load;
  }

  /** The engine is up and has told how fast it is. */
  noteReady(pace: Pace): void {
    this.#model.expect(pace);
  }

  noteStep({
    times,
    stats,
    pace,
  }: Pick<Extract<FromEngine, { type: "step" }>, "times" | "stats" | "pace">): void {
    this.#model.observeStep(times);
    this.#model.expect(pace);
    if (stats.numRunning + stats.numWaiting === 0) this.#model.noteIdle();
  }

  noteFinished({ ttftMs, prefillMs, decodeMs, pausedMs, maxNumGeneratedTokens }: FinishedRequest): void {
    if (ttftMs !== null) this.#model.observeRun(prefillMs + decodeMs - pausedMs, maxNumGeneratedTokens);
  }

  /** Of a newcomer. */
  forecast(request: ProspectiveRequest): Forecast {
    const { tenantId, priority, numPromptTokens, longestPrompt = numPromptTokens, targets = {} } = request;
    const load = this.#load();
    const predict = this.#predictor(load);
    // How long it will write does not depend on who is before it, but who is before it on that.
    const { ttftMs, totalMs } = predict(request, NOBODY);
    const withinMs = firstTokenWithin(targets, totalMs - ttftMs) ?? undefined;
    const dueMs = dueTime(load.nowMs, longestPrompt, withinMs);
    const item = { tenantId, priority, numTokens: numPromptTokens, dueMs };
    return predict(request, this.#aheadOf(item, null));
  }

  /** Tells many at one moment for little more than one. */
  forQueue(): (work: QueuedWork) => Forecast {
    const predict = this.#predictor(this.#load());
    return ({ item, maxTokens, ownAhead }) =>
      predict({ numSequences: 1, numPromptTokens: item.numTokens, maxTokens }, this.#aheadOf(item, ownAhead));
  }

  /** Until all that waits has started. */
  totalWaitMs(): number {
    const ahead = { waiting: this.#ledger.waiting.totals, interrupted: this.#ledger.interrupted.totals };
    if (ahead.waiting.numSequences === 0) return 0;
    return this.#predictor(this.#load())({ numSequences: 0, numPromptTokens: 0, maxTokens: 0 }, ahead)
      .queueMs;
  }

  #aheadOf(item: WaitingItem, ownAhead: WaitingTotals | null): Ahead {
    return {
      waiting: this.#ledger.waiting.ahead(item, ownAhead),
      interrupted: this.#ledger.interrupted.upTo(item.priority),
    };
  }

  #predictor({ stats, model, nowMs }: EngineLoad): (work: ExpectedWork, ahead: Ahead) => Forecast {
    const runAgesMs = this.#ledger.runAgesMs(nowMs);
    const ends = this.#model.endsOf(runAgesMs);
    // Those that are paused give way to whoever wants their place.
    const numRunning = Math.min(stats.numRunning, runAgesMs.length);
    const blockSize = model?.kvPool.blockSize ?? 0;
    const { free, cached, used } = stats.blocks;
    return (work, { waiting, interrupted }) => {
      const numAhead = waiting.numSequences + interrupted.numSequences;
      // The scheduler holds back a block for each sequence that runs by then.
      const numFreeBlocks = free + cached - numRunning - numAhead;
      const load = {
        numAhead,
        numTokensAhead: waiting.numTokens,
        numInterruptedTokens: interrupted.numTokens,
        numRunning,
        maxNumSeqs: model?.maxNumSeqs ?? 0,
        // In slices there is room for whoever has a row.
        numFreeTokens: model?.kvLayout === "streams" ? Infinity : numFreeBlocks * blockSize,
        numHeldTokens: used * blockSize,
        ends,
      };
      return { ...this.#model.predict(load, work), numAhead };
    };
  }
}
