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
  const startMs = performance.now();
  const threads = new SimulationThreads(settings.numThreads);
  const { text, data } = await runSimulation(settings, threads);
  console.log(text);
  console.error(`\n${((performance.now() - startMs) / 1_000).toFixed(1)} s`);
  if (settings.jsonPath !== null) writeFileSync(settings.jsonPath, `${JSON.stringify(data, null, 1)}\n`);
  await threads.close();
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
