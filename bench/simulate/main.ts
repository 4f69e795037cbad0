/**
 * Simulations of the scheduler and of fleets; see docs/simulation.md.
 * Run: npm run bench:simulate -- --help
 */
import { writeFileSync } from "node:fs";
import { HELP, readArguments, type SimulateArguments } from "./arguments.ts";
import { runPolicy, type Scenario } from "./compare-policies.ts";
import { describeScenario, formatEngineReport } from "./engine-report.ts";
import { calibrate } from "./fleet/calibration.ts";
import { formatFleetReport } from "./fleet/fleet-report.ts";
import { simulateFleet } from "./fleet/fleet-simulation.ts";
import { createRequests } from "./workload.ts";

interface Outcome {
  readonly text: string;
  /** For the JSON file. */
  readonly results: unknown;
}

function main(args: readonly string[]): void {
  const settings = readOrExplain(args);
  if (settings === null) return;
  const startMs = performance.now();
  const outcome = settings.command === "engine" ? runEngine(settings) : runFleet(settings);
  console.log(`${describeScenario(settings)}\n\n${outcome.text}`);
  console.error(`\n${((performance.now() - startMs) / 1_000).toFixed(1)} s`);
  if (settings.jsonPath === null) return;
  const { jsonPath: _, ...shown } = settings;
  writeFileSync(
    settings.jsonPath,
    `${JSON.stringify({ settings: shown, ...(outcome.results as object) }, null, 1)}\n`,
  );
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

function runEngine(settings: SimulateArguments): Outcome {
  const scenario = scenarioOf(settings);
  const results = settings.policies.map((policy) => ({ policy, summary: runPolicy(policy, scenario) }));
  return { text: formatEngineReport(results), results: { policies: results } };
}

function runFleet(settings: SimulateArguments): Outcome {
  const { machine, slo, replicas, routings, policyOptions } = settings;
  const scenario = scenarioOf(settings);
  const calibration = calibrate(scenario, Math.max(...replicas));
  const { targetItlMs } = policyOptions;
  const results = replicas.flatMap((numReplicas) =>
    routings.map((routing) => {
      const options = { machine, targetItlMs, factors: calibration.factors, numReplicas, routing, slo };
      return { numReplicas, routing, summary: simulateFleet(scenario.requests(), options) };
    }),
  );
  return { text: formatFleetReport(results, calibration), results: { calibration, fleets: results } };
}

function scenarioOf({ machine, policyOptions, slo, noise, workload }: SimulateArguments): Scenario {
  return {
    machine,
    policyOptions,
    slo,
    noise,
    seed: workload.seed,
    requests: () => createRequests(workload),
  };
}

main(process.argv.slice(2));
