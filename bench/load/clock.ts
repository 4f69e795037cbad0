import { setImmediate as nextTurn, setTimeout as delay } from "node:timers/promises";

/** Time as the load runner sees it: milliseconds since the start of the run. */
export interface Clock {
  now(): number;
  /** Resolves at or after `timeMs`, never before. */
  sleepUntil(timeMs: number): Promise<void>;
  /** Lets everything that is ready happen first. */
  giveWay(): Promise<void>;
}

/** Node's timers count in 32 bits; longer waits are taken in pieces. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * The machine's monotonic clock. `originNs` comes from `process.hrtime.bigint()`, which all processes
 * of one machine share, so that every load worker measures from the same zero.
 */
export class MonotonicClock implements Clock {
  #offsetMs = 0;

  constructor(originNs: bigint) {
    this.setOrigin(originNs);
  }

  /** Moves time zero; for a clock that was made before its run had a start. */
  setOrigin(originNs: bigint): void {
    const sinceOriginMs = Number(process.hrtime.bigint() - originNs) / 1e6;
    this.#offsetMs = sinceOriginMs - performance.now();
  }

  now(): number {
    return performance.now() + this.#offsetMs;
  }

  async sleepUntil(timeMs: number): Promise<void> {
    for (;;) {
      const restMs = timeMs - this.now();
      if (restMs <= 0) return;
      // Timers may fire a little early; the loop then waits once more instead of sending early.
      await delay(Math.min(Math.max(1, Math.floor(restMs)), MAX_TIMER_MS));
    }
  }

  giveWay(): Promise<void> {
    return nextTurn();
  }
}
