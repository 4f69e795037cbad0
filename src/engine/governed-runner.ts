import type { Batch, BatchResult, CacheOp } from "../../scheduler/contracts.ts";
import type { ModelInfo } from "../../models/model-info.ts";
import type { ModelRunner } from "../../models/model-runner.ts";
import { createIdleCoresProbe } from "./idle-cores.ts";
import { ThreadGovernor } from "./thread-governor.ts";

export interface ThreadedRunner extends ModelRunner {
  setNumThreads(numThreads: number): void;
}

/** A runner whose number of compute threads follows the cores that are free. */
export class GovernedRunner implements ModelRunner {
  readonly #runner: ThreadedRunner;
  readonly #governor: ThreadGovernor;
  /** Threads of the CPU backend spin at barriers; a GPU's host thread waits, which says nothing about cores. */
  readonly #isSpinning: boolean;

  constructor(runner: ThreadedRunner, onChange: (numThreads: number, reason: string) => void) {
    this.#runner = runner;
    this.#isSpinning = runner.info.backend === "cpu";
    this.#governor = new ThreadGovernor({
      maxThreads: runner.info.numThreads,
      now: monotonicMs,
      idleCores: createIdleCoresProbe(monotonicMs),
      onChange: (numThreads, reason) => {
        runner.setNumThreads(numThreads);
        onChange(numThreads, reason);
      },
    });
  }

  /** Of the next call; fewer than the model's `info` says while cores are contended. */
  get numThreads(): number {
    return this.#governor.numThreads;
  }

  get info(): ModelInfo {
    return this.#runner.info;
  }

  apply(operations: readonly CacheOp[]): void {
    this.#runner.apply(operations);
  }

  execute(batch: Batch): BatchResult {
    if (this.#isSpinning) this.#governor.begin();
    const startMs = performance.now();
    const startCpu = process.cpuUsage();
    const result = this.#runner.execute(batch);
    const { user, system } = process.cpuUsage(startCpu);
    if (this.#isSpinning)
      this.#governor.observe({ durationMs: performance.now() - startMs, cpuMs: (user + system) / 1000 });
    return result;
  }

  numUsedCells(): number | null {
    return this.#runner.numUsedCells();
  }

  close(): void {
    this.#runner.close();
  }
}

function monotonicMs(): number {
  return performance.now();
}
