import type { ChildProcess } from "node:child_process";

import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

import type { FromWorker, Progress, ToWorker, WorkerJob, WorkerUsage } from "./worker-protocol.ts";
import type { RequestRecord } from "./request.ts";

/** Between the last worker's readiness and time zero, so that no first request is late. */
const START_DELAY_MS = 100;

export type RunJob = Omit<WorkerJob, "worker">;

export interface RunObserver {
  onRecords(records: readonly RequestRecord[]): void;
  onProgress(progress: Progress): void;
}

/**
 * Runs a load in `numWorkers` processes (the parent only collects, so that drawing and writing never
 * delay a request). Resolves with each worker's usage; rejects when a worker fails or `signal` aborts.
 */
export async function runLoad(
  job: RunJob,
  { numWorkers, observer, signal }: { numWorkers: number; observer: RunObserver; signal?: AbortSignal },
): Promise<WorkerUsage[]> {
  const workers = Array.from(
    { length: numWorkers },
    (_, index) => new LoadWorker({ ...job, worker: { index, count: numWorkers } }),
  );
  const stop = (): void => workers.forEach((worker) => worker.stop());
  signal?.addEventListener("abort", stop);
  try {
    await Promise.all(workers.map((worker) => worker.ready));
    const originNs = process.hrtime.bigint() + BigInt(START_DELAY_MS) * 1_000_000n;
    const notify = (records: readonly RequestRecord[]): void => {
      observer.onRecords(records);
      observer.onProgress(totalProgress(workers));
    };
    return await Promise.all(workers.map((worker) => worker.run(originNs, notify)));
  } finally {
    signal?.removeEventListener("abort", stop);
    stop();
  }
}

function totalProgress(workers: readonly LoadWorker[]): Progress {
  const total = { numSent: 0, numInFlight: 0, numTokens: 0 };
  for (const { progress } of workers) {
    total.numSent += progress.numSent;
    total.numInFlight += progress.numInFlight;
    total.numTokens += progress.numTokens;
  }
  return total;
}

class LoadWorker {
  readonly ready: Promise<void>;
  progress: Progress = { numSent: 0, numInFlight: 0, numTokens: 0 };
  readonly #child: ChildProcess;
  readonly #done: Promise<WorkerUsage>;
  #onRecords: (records: readonly RequestRecord[]) => void = () => {};

  constructor(job: WorkerJob) {
    const entry = fileURLToPath(new URL("load-worker.js", import.meta.url));
    this.#child = fork(entry, [], {
      execArgv: ["--enable-source-maps"],
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      serialization: "advanced",
    });
    this.ready = this.#message("ready").then(() => {});
    this.#done = this.#message("done").then((message) => message.usage);
    // Both are awaited later; a failure before that must not count as unhandled.
    this.#done.catch(() => {});
    this.#child.on("message", (message: FromWorker) => {
      if (message.type !== "progress") return;
      this.progress = message.progress;
      this.#onRecords(message.records);
    });
    this.#post({ type: "job", job });
  }

  run(originNs: bigint, onRecords: (records: readonly RequestRecord[]) => void): Promise<WorkerUsage> {
    this.#onRecords = onRecords;
    this.#post({ type: "go", originNs: String(originNs) });
    return this.#done;
  }

  stop(): void {
    if (this.#child.connected) this.#post({ type: "abort" });
  }

  #post(message: ToWorker): void {
    this.#child.send(message, () => {
      // A worker that is already gone reports itself through its exit.
    });
  }

  #message<T extends FromWorker["type"]>(type: T): Promise<Extract<FromWorker, { type: T }>> {
    return new Promise((resolve, reject) => {
      this.#child.on("message", (message: FromWorker) => {
        if (message.type === type) resolve(message as Extract<FromWorker, { type: T }>);
        else if (message.type === "failed") reject(new Error(`load worker: ${message.message}`));
      });
      this.#child.on("exit", (code, killedBy) =>
        reject(new Error(`load worker ended early (${code ?? killedBy})`)),
      );
      this.#child.on("error", reject);
    });
  }
}
