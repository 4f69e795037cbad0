import type { Forecaster } from "./forecaster.ts";
import type { LedgerEntry, SequenceLedger } from "./sequence-ledger.ts";
import type { WaitingTotals } from "./waiting-work.ts";

const INTERVAL_MS = 1000;

/** Tells waiting generations that ask for it where they stand, once a second. */
export class QueueReporter {
  readonly #ledger: SequenceLedger;
  readonly #forecaster: Forecaster;
  #timer: NodeJS.Timeout | null = null;

  constructor(ledger: SequenceLedger, forecaster: Forecaster) {
    this.#ledger = ledger;
    this.#forecaster = forecaster;
  }

  /** Somebody who asks has come. The timer runs only while there is one. */
  start(): void {
    this.#timer ??= setInterval(() => this.report(), INTERVAL_MS);
    this.#timer.unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** One pass over the queue, in order of arrival. */
  report(): void {
    const ownAhead = new Map<string, WaitingTotals>();
    let numAsking = 0;
    for (const entry of this.#ledger.queued()) {
      const { tenantId, priority } = entry.generation.request;
      const lane = `${priority}/${tenantId}`;
      const own = ownAhead.get(lane) ?? { numSequences: 0, numTokens: 0 };
      if (entry.generation.choices[0] === entry.choice && entry.generation.asksForPlace) {
        numAsking += 1;
        this.#tell(entry, own);
      }
      ownAhead.set(lane, {
        numSequences: own.numSequences + 1,
        numTokens: own.numTokens + entry.numPromptTokens,
      });
    }
    if (numAsking === 0) this.stop();
  }

  #tell({ generation, numPromptTokens }: LedgerEntry, ownAhead: WaitingTotals): void {
    const { tenantId, priority, maxTokens } = generation.request;
    const request = { tenantId, priority, numSequences: 1, numPromptTokens, maxTokens };
    const { numAhead, ttftMs } = this.#forecaster.forecast(request, ownAhead);
    generation.tellPlace({ position: numAhead + 1, etaMs: Math.round(ttftMs) });
  }
}
