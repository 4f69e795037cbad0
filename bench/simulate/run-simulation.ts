import { basename } from "node:path";
import type { SimulateArguments } from "./arguments.ts";
import { runPolicy, type Scenario } from "./compare-policies.ts";
import { describeScenario, formatEngineReport } from "./engine-report.ts";
import { calibrate } from "./fleet/calibration.ts";
import { formatFleetReport } from "./fleet/fleet-report.ts";
import { simulateFleet } from "./fleet/fleet-simulation.ts";
import { createRequests } from "./workload.ts";

export interface SimulationReport {
  readonly text: string;
  /** Settings and everything measured, to be written as JSON. */
  readonly data: object;
}

/** Runs what the arguments ask for. The same arguments give the same report. */
export function runSimulation(settings: SimulateArguments): SimulationReport {
  const { text, data } = settings.command === "engine" ? runEngine(settings) : runFleet(settings);
  return {
    text: `${describeScenario(settings)}\n\n${text}`,
    data: { settings: shownSettings(settings), ...data },
  };
}

function runEngine(settings: SimulateArguments): SimulationReport {
  const scenario = scenarioOf(settings);
  const policies = settings.policies.map((policy) => ({ policy, summary: runPolicy(policy, scenario) }));
  return { text: formatEngineReport(policies), data: { policies } };
}

function runFleet(settings: SimulateArguments): SimulationReport {
  const { machine, slo, replicas, routings, policyOptions } = settings;
  const scenario = scenarioOf(settings);
  const calibration = calibrate(scenario, Math.max(...replicas));
  const { targetItlMs } = policyOptions;
  const fleets = replicas.flatMap((numReplicas) =>
    routings.map((routing) => {
      const options = { machine, targetItlMs, factors: calibration.factors, numReplicas, routing, slo };
      return { numReplicas, routing, summary: simulateFleet(scenario.requests(), options) };
    }),
  );
  return { text: formatFleetReport(fleets, calibration), data: { calibration, fleets } };
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

/** Without paths of this machine: a trace goes by its name. */
function shownSettings(settings: SimulateArguments): object {
  const { jsonPath: _jsonPath, workload, ...rest } = settings;
  const { trace } = workload;
  const named = trace === null ? null : { ...trace, path: basename(trace.path) };
  return { ...rest, workload: { ...workload, trace: named } };
}
