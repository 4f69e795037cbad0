import type { BenchConfig } from "../bench-config.ts";
import type { BenchOptionValues } from "../bench-options.ts";

import { benchConfig } from "../bench-config-from-options.ts";
import { serverFacts, type ServerFacts } from "../load/server-facts.ts";
import { createSessions } from "../workloads/create-sessions.ts";

/** Checks the options, then asks the server who it is and which model it has. */
export async function prepareTarget(
  options: BenchOptionValues,
): Promise<{ config: BenchConfig; server: ServerFacts }> {
  // Options are checked before the server is asked: a typing error must not depend on the network.
  checkWorkload(benchConfig(options, options.model ?? "", process.env));
  const server = await serverFacts(options.url, options.key ?? null, options.model ?? null);
  return { config: benchConfig(options, server.model, process.env), server };
}

/** Makes a first request, so that a mistake in the workload's file is told before anything runs. */
function checkWorkload({ workload }: BenchConfig): void {
  const [first] = createSessions(workload);
  if (first === undefined) throw new RangeError(`there is no request in ${workload.file}`);
}

/** Runs `work` with a signal that the first Ctrl-C aborts; a second one ends the process as usual. */
export async function untilInterrupted<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  const interrupt = (): void => abort.abort();
  process.once("SIGINT", interrupt);
  try {
    return await work(abort.signal);
  } finally {
    process.removeListener("SIGINT", interrupt);
  }
}
