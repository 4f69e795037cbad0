/**
 * Simulations of the scheduler and of fleets; see docs/simulation.md.
 * Run: npm run bench:simulate -- --help
 */
import { writeFileSync } from "node:fs";
import { HELP, readArguments, type SimulateArguments } from "./arguments.ts";
import { runSimulation } from "./run-simulation.ts";
import { SimulationThreads } from "./simulation-threads.ts";

async function main(args: readonly string[]): Promise<void> {
  const settings = readOrExplain(args);
  if (settings === null) return;
  const threads = new SimulationThreads(settings.numThreads);
  try {
    await simulate(settings, threads);
  } catch (error) {
    const sentence = explainFailure(error);
    if (sentence === null) throw error;
    console.error(sentence);
    process.exitCode = 1;
  } finally {
    await threads.close();
  }
}

async function simulate(settings: SimulateArguments, threads: SimulationThreads): Promise<void> {
  const startMs = performance.now();
  const { text, data } = await runSimulation(settings, threads);
  console.log(text);
  console.error(`\n${((performance.now() - startMs) / 1_000).toFixed(1)} s`);
  if (settings.jsonPath !== null) writeFileSync(settings.jsonPath, `${JSON.stringify(data, null, 1)}\n`);
}

/** A trace that cannot be read or played, a file that cannot be written; null for a defect of ours. */
function explainFailure(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  const isForUser = error instanceof RangeError || "syscall" in error;
  return isForUser ? error.message : null;
}

/** Null when there is nothing to run. */
function readOrExplain(args: readonly string[]): SimulateArguments | null {
  try {
    const settings = readArguments(args);
    if (settings === null) console.log(HELP);
    return settings;
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof TypeError)) throw error;
    console.error(`${error.message}\nSee --help.`);
    process.exitCode = 2;
    return null;
  }
}

await main(process.argv.slice(2));
