import type { Slo } from "../measure/slo.ts";
import { deriveSeed } from "../seeded-random.ts";
import { Machine, type MachineParameters } from "./machine.ts";
import { createPolicy, type PolicyName, type PolicyOptions } from "./policy.ts";
import type { SimRequest } from "./sim-request.ts";
import { EngineSimulation } from "./engine-simulation.ts";
import { SimulationMetrics, type SimulationSummary } from "./simulation-metrics.ts";

export interface Scenario {
  readonly machine: MachineParameters;
  readonly policyOptions: PolicyOptions;
  readonly slo: Slo;
  readonly noise: number;
  readonly seed: number;
  /** By arrival; asked for once by each run. */
  readonly requests: () => Iterable<SimRequest>;
}

/** Runs one policy over a scenario's requests. The same scenario gives the same summary, bit for bit. */
export function runPolicy(name: PolicyName, scenario: Scenario): SimulationSummary {
  const { policy, kv } = createPolicy(name, scenario.machine, scenario.policyOptions);
  const metrics = new SimulationMetrics(scenario.slo, scenario.machine.freezeMs);
  new EngineSimulation({
    machine: new Machine(scenario.machine),
    policy,
    kv,
    requests: scenario.requests(),
    metrics,
    noise: scenario.noise,
    seed: deriveSeed(scenario.seed, "noise"),
  }).run();
  return metrics.summary();
}
