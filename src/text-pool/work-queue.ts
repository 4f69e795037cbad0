import { closedError, TextPoolBusyError } from "./text-pool-error.ts";

interface Waiting<Worker> {
  readonly start: (worker: Worker) => void;
  readonly reject: (error: Error) => void;
}

/** Hands each piece of work to a free worker, first come first served, and refuses more than may wait. */
export class WorkQueue<Worker> {
  readonly #workers: readonly Worker[];
  readonly #maxQueue: number;
  readonly #free: Worker[];
  #waiting: Waiting<Worker>[] = [];
  #isClosed = false;

  constructor(workers: readonly Worker[], maxQueue: number) {
    this.#workers = workers;
    this.#maxQueue = maxQueue;
    this.#free = [...workers];
  }

  async run<Result>(work: (worker: Worker) => Promise<Result>): Promise<Result> {
    const worker = await this.#acquire();
    try {
      return await work(worker);
    } finally {
      this.#release(worker);
    }
  }

  /** Rejects what waits and returns the workers, for their owner to end. */
  close(): readonly Worker[] {
    this.#isClosed = true;
    for (const { reject } of this.#waiting) reject(closedError());
    this.#waiting = [];
    return this.#workers;
  }

  #acquire(): Promise<Worker> {
    if (this.#isClosed) return Promise.reject(closedError());
    const worker = this.#free.pop();
    if (worker !== undefined) return Promise.resolve(worker);
    if (this.#waiting.length >= this.#maxQueue) return Promise.reject(new TextPoolBusyError());
    return new Promise((start, reject) => this.#waiting.push({ start, reject }));
  }

  #release(worker: Worker): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(worker);
    else next.start(worker);
  }
}
