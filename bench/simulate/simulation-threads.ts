import { fileURLToPath } from "node:url";
import { Tinypool } from "tinypool";
import { calibrationRun, fleetRun, policyRun } from "./independent-runs.ts";

const RUNS = { calibrationRun, fleetRun, policyRun };
type Runs = typeof RUNS;

/** Runs simulations side by side, each in one thread from its beginning to its end: the results are the same. */
export class SimulationThreads {
  /** Null where one thread is all there is: this one. */
  readonly #pool: Tinypool | null;

  constructor(numThreads: number) {
    this.#pool = numThreads === 1 ? null : startPool(numThreads);
  }

  async run<Name extends keyof Runs>(
    name: Name,
    run: Parameters<Runs[Name]>[0],
  ): Promise<ReturnType<Runs[Name]>> {
    if (this.#pool !== null) return this.#pool.run(run, { name });
    const runHere = RUNS[name] as (input: typeof run) => ReturnType<Runs[Name]>;
    return runHere(run);
  }

  async close(): Promise<void> {
    await this.#pool?.destroy();
  }
}

function startPool(maxThreads: number): Tinypool {
  return new Tinypool({
    runtime: "worker_threads",
    filename: fileURLToPath(new URL("./independent-runs.js", import.meta.url)),
    minThreads: 0,
    maxThreads,
  });
}
