import type { SimulateArguments } from "./arguments.ts";
import { runPolicy, type Scenario } from "./compare-policies.ts";
import { calibrate, type Calibration } from "./fleet/calibration.ts";
import type { FleetSummary } from "./fleet/fleet-metrics.ts";
import { simulateFleet, type FleetOptions } from "./fleet/fleet-simulation.ts";
import type { PolicyName } from "./policy.ts";
import type { SimulationSummary } from "./simulation-metrics.ts";
import { createRequests, type Workload } from "./workload.ts";

/**
 * The parts of a comparison that know nothing of each other: what goes in and comes out is plain data, so each can run
 * in a thread of its own (SimulationThreads).
 */
export type ScenarioSettings = Pick<
  SimulateArguments,
  "machine" | "policyOptions" | "slo" | "noise" | "workload"
>;

export function policyRun(run: {
  readonly settings: ScenarioSettings;
  readonly policy: PolicyName;
}): SimulationSummary {
  return runPolicy(run.policy, scenarioOf(run.settings));
}

export function calibrationRun(run: {
  readonly settings: ScenarioSettings;
  readonly numReplicas: number;
}): Calibration {
  return calibrate(scenarioOf(run.settings), run.numReplicas);
}

export function fleetRun(run: { readonly workload: Workload; readonly options: FleetOptions }): FleetSummary {
  return simulateFleet(createRequests(run.workload), run.options);
}

function scenarioOf({ machine, policyOptions, slo, noise, workload }: ScenarioSettings): Scenario {
  return {
    machine,
    policyOptions,
    slo,
    noise,
    seed: workload.seed,
    requests: () => createRequests(workload),
  };
}
