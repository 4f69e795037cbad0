import { setImmediate } from "node:timers/promises";
import type { Forecaster, QueuedWork } from "./forecaster.ts";
import type { LedgerEntry, SequenceLedger } from "./sequence-ledger.ts";
import { laneOf, NOTHING, type WaitingTotals } from "./waiting-work.ts";

const INTERVAL_MS = 1000;
/** Telling one takes tens of microseconds: so many at once hold nobody up. */
const MAX_TOLD_AT_ONCE = 100;

/** Tells waiting generations that ask for it where they stand, once a second. */
export class QueueReporter {
  readonly #ledger: SequenceLedger;
  readonly #forecaster: Forecaster;
  #timer: NodeJS.Timeout | null = null;
  #isReporting = false;

  constructor(ledger: SequenceLedger, forecaster: Forecaster) {
    this.#ledger = ledger;
    this.#forecaster = forecaster;
  }

  /** Somebody who asks has come. The timer runs only while there is one. */
  start(): void {
    this.#timer ??= setInterval(() => void this.report(), INTERVAL_MS);
    this.#timer.unref();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  /** One pass over the queue. */
  async report(): Promise<void> {
    if (this.#isReporting) return;
    this.#isReporting = true;
    try {
      const asking = this.#asking();
      if (asking.length === 0) this.stop();
      await tellAll(asking, this.#forecaster.forQueue());
    } finally {
      this.#isReporting = false;
    }
  }

  /** Those who ask, and what of their tenants' is due before them. */
  #asking(): Asking[] {
    const ownAhead = new Map<string, WaitingTotals>();
    const asking: Asking[] = [];
    for (const entry of [...this.#ledger.queued()].sort(compareDue)) {
      const { waiting: item, generation, choice } = entry;
      const own = ownAhead.get(laneOf(item)) ?? NOTHING;
      if (generation.choices[0] === choice && generation.asksForPlace) {
        asking.push({ entry, work: { item, maxTokens: generation.request.maxTokens, ownAhead: own } });
      }
      ownAhead.set(laneOf(item), {
        numSequences: own.numSequences + 1,
        numTokens: own.numTokens + item.numTokens,
      });
    }
    return asking;
  }
}

interface Asking {
  readonly entry: LedgerEntry;
  readonly work: QueuedWork;
}

/** Ties stay in order of arrival. */
function compareDue(left: LedgerEntry, right: LedgerEntry): number {
  return left.waiting.dueMs - right.waiting.dueMs;
}

async function tellAll(
  asking: readonly Asking[],
  forecast: ReturnType<Forecaster["forQueue"]>,
): Promise<void> {
  for (const [index, { entry, work }] of asking.entries()) {
    if (index > 0 && index % MAX_TOLD_AT_ONCE === 0) await setImmediate();
    // Its turn may have come meanwhile.
    if (!entry.generation.asksForPlace) continue;
    const { numAhead, ttftMs } = forecast(work);
    entry.generation.tellPlace({ position: numAhead + 1, etaMs: Math.round(ttftMs) });
  }
}
