import { basename } from "node:path";
import type { SimulateArguments } from "./arguments.ts";
import { describeScenario, formatEngineReport } from "./engine-report.ts";
import { formatFleetReport } from "./fleet/fleet-report.ts";
import type { SimulationThreads } from "./simulation-threads.ts";

export interface SimulationReport {
  readonly text: string;
  /** Settings and everything measured, to be written as JSON. */
  readonly data: object;
}

/** Runs what the arguments ask for. The same arguments give the same report, however many threads there are. */
export async function runSimulation(
  settings: SimulateArguments,
  threads: SimulationThreads,
): Promise<SimulationReport> {
  const { text, data } = await (settings.command === "engine" ? runEngine : runFleets)(settings, threads);
  return {
    text: `${describeScenario(settings)}\n\n${text}`,
    data: { settings: shownSettings(settings), ...data },
  };
}

async function runEngine(settings: SimulateArguments, threads: SimulationThreads): Promise<SimulationReport> {
  const policies = await Promise.all(
    settings.policies.map(async (policy) => ({
      policy,
      summary: await threads.run("policyRun", { settings, policy }),
    })),
  );
  return { text: formatEngineReport(policies), data: { policies } };
}

async function runFleets(settings: SimulateArguments, threads: SimulationThreads): Promise<SimulationReport> {
  const { machine, slo, replicas, routings, workload } = settings;
  const { targetItlMs } = settings.policyOptions;
  const calibration = await threads.run("calibrationRun", { settings, numReplicas: Math.max(...replicas) });
  const { factors } = calibration;
  const kinds = replicas.flatMap((numReplicas) => routings.map((routing) => ({ numReplicas, routing })));
  const fleets = await Promise.all(
    kinds.map(async (kind) => {
      const options = { machine, targetItlMs, factors, slo, ...kind };
      return { ...kind, summary: await threads.run("fleetRun", { workload, options }) };
    }),
  );
  return { text: formatFleetReport(fleets, calibration), data: { calibration, fleets } };
}

/** Without what is of this machine alone: threads, and paths, a trace going by its name. */
function shownSettings(settings: SimulateArguments): object {
  const { jsonPath: _jsonPath, numThreads: _numThreads, workload, ...rest } = settings;
  const { trace } = workload;
  const named = trace === null ? null : { ...trace, path: basename(trace.path) };
  return { ...rest, workload: { ...workload, trace: named } };
}
