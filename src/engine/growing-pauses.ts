const FIRST_PAUSE_MS = 2000;
const MAX_PAUSE_MS = 300_000;

interface Pause {
  readonly lengthMs: number;
  readonly endMs: number;
}

/** What has failed is tried again after a pause, twice as long each time. */
export class GrowingPauses<T extends object> {
  #pauses = new WeakMap<T, Pause>();

  /** Its turn has not come again. */
  has(item: T, nowMs: number): boolean {
    return nowMs < (this.#pauses.get(item)?.endMs ?? 0);
  }

  noteFailure(item: T, nowMs: number): void {
    const lastMs = this.#pauses.get(item)?.lengthMs ?? FIRST_PAUSE_MS / 2;
    const lengthMs = Math.min(MAX_PAUSE_MS, 2 * lastMs);
    this.#pauses.set(item, { lengthMs, endMs: nowMs + lengthMs });
  }

  noteSuccess(item: T): void {
    this.#pauses.delete(item);
  }

  /** What was in the way of all is gone. */
  clear(): void {
    this.#pauses = new WeakMap();
  }
}
