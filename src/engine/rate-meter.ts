const WINDOW_MS = 30_000;
const MAX_EVENTS = 256;

/** Rate of recent events, from a bounded window of their times. */
export class RateMeter {
  readonly #now: () => number;
  readonly #timesMs: number[] = [];

  constructor(now: () => number) {
    this.#now = now;
  }

  count(): void {
    this.#timesMs.push(this.#now());
    if (this.#timesMs.length > MAX_EVENTS) this.#timesMs.splice(0, MAX_EVENTS / 2);
  }

  /** Events per second over the last 30 s; 0 when fewer than two were seen. */
  perSecond(): number {
    const nowMs = this.#now();
    const recent = this.#timesMs.filter((timeMs) => nowMs - timeMs <= WINDOW_MS);
    const [firstMs] = recent;
    if (firstMs === undefined || recent.length < 2) return 0;
    return (recent.length / Math.max(1, nowMs - firstMs)) * 1000;
  }
}
