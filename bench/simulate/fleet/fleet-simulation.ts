import type { Slo } from "../../measure/slo.ts";
import { Machine, type MachineParameters } from "../machine.ts";
import type { SimRequest } from "../sim-request.ts";
import { FleetMetrics, type FleetSummary } from "./fleet-metrics.ts";
import { pathKeys } from "./prefix-lru.ts";
import { ReplicaModel } from "./replica-model.ts";
import { createRouter, type RoutingName } from "./routing.ts";
import { StepSpeeds, type SpeedFactors } from "./step-speeds.ts";

export interface FleetOptions {
  readonly machine: MachineParameters;
  readonly targetItlMs: number | null;
  readonly factors: SpeedFactors;
  readonly numReplicas: number;
  readonly routing: RoutingName;
  readonly slo: Slo;
}

/** Plays requests, by arrival, against equal replicas behind a router that knows their state at once. */
export function simulateFleet(requests: Iterable<SimRequest>, options: FleetOptions): FleetSummary {
  const metrics = new FleetMetrics(options.slo);
  const speeds = new StepSpeeds(new Machine(options.machine), options.targetItlMs, options.factors);
  const replicas = Array.from(
    { length: options.numReplicas },
    () => new ReplicaModel(options.machine, speeds, metrics),
  );
  const route = createRouter(options.routing, replicas, speeds.prefillMsPerToken);
  let startMs: number | null = null;
  for (const request of requests) {
    startMs ??= request.atMs;
    const keys = pathKeys(request.segments);
    for (const replica of replicas) replica.advance(request.atMs);
    replicas[route(request, keys)]!.submit(request, keys);
  }
  const endMs = Math.max(0, ...replicas.map((replica) => replica.drain()));
  const busyMs = replicas.map((replica) => replica.busyMs);
  return metrics.summary(endMs - (startMs ?? 0), busyMs);
}
