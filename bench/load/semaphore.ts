/** Counts free places; waiters are served in order of arrival. */
export class Semaphore {
  #free: number;
  #waiters: (() => void)[] = [];
  #head = 0;

  constructor(places: number) {
    this.#free = places;
  }

  /** Null when a place was free (taken at once, without a turn of the event loop). */
  acquire(): Promise<void> | null {
    if (this.#free > 0) {
      this.#free--;
      return null;
    }
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  release(): void {
    const next = this.#waiters[this.#head];
    if (next === undefined) {
      this.#free++;
      return;
    }
    this.#head++;
    if (this.#head === this.#waiters.length) {
      this.#waiters = [];
      this.#head = 0;
    }
    next();
  }
}
