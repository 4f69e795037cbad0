import { runPolicy, type Scenario } from "../compare-policies.ts";
import type { SimRequest } from "../sim-request.ts";
import type { SimulationSummary } from "../simulation-metrics.ts";
import type { FleetSummary } from "./fleet-metrics.ts";
import { simulateFleet } from "./fleet-simulation.ts";
import type { SpeedFactors } from "./step-speeds.ts";

/** Relative errors of the coarse model against the fine simulation: 0.1 is a tenth too much. */
export interface CoarseError {
  readonly ttftP50: number;
  readonly ttftP99: number;
  readonly itlMean: number;
  readonly itlP99: number;
  readonly e2elMean: number;
}

export interface Calibration {
  readonly factors: SpeedFactors;
  readonly numRequests: number;
  /** On the requests it was fitted to, and on the ones after them. */
  readonly fitted: CoarseError;
  readonly heldOut: CoarseError;
}

const MAX_SAMPLE = 2_000;
const NUM_ROUNDS = 3;
const FIRST_STEP = 1.15;

/**
 * Fits the coarse model's two speed factors to the fine simulation of one replica that gets every n-th request, and
 * tells how far off it is on requests it has not seen.
 */
export function calibrate(scenario: Scenario, numReplicas: number): Calibration {
  const requests = everyNth(scenario.requests(), numReplicas, 2 * MAX_SAMPLE);
  const half = Math.ceil(requests.length / 2);
  const [seen, unseen] = [requests.slice(0, half), requests.slice(half)];
  const errorOn = (sample: readonly SimRequest[]): ((factors: SpeedFactors) => CoarseError) => {
    const fine = runPolicy("headway", { ...scenario, requests: () => sample });
    return (factors) => compare(runCoarse(sample, scenario, factors), fine);
  };
  const errorOfFit = errorOn(seen);
  const factors = fit((candidate) => size(errorOfFit(candidate)));
  return {
    factors,
    numRequests: half,
    fitted: errorOfFit(factors),
    heldOut: errorOn(unseen.length > 0 ? unseen : seen)(factors),
  };
}

function runCoarse(requests: readonly SimRequest[], scenario: Scenario, factors: SpeedFactors): FleetSummary {
  const { machine, slo, policyOptions } = scenario;
  const { targetItlMs } = policyOptions;
  return simulateFleet(requests, {
    machine,
    targetItlMs,
    slo,
    factors,
    numReplicas: 1,
    routing: "round-robin",
  });
}

/** Descends along each factor in turn with ever smaller steps. */
function fit(errorOf: (factors: SpeedFactors) => number): SpeedFactors {
  let best: SpeedFactors = { decode: 1, prefill: 1 };
  let leastError = errorOf(best);
  for (let round = 0, step = FIRST_STEP; round < NUM_ROUNDS; round += 1, step = Math.sqrt(step)) {
    for (const name of ["decode", "prefill", "decode", "prefill"] as const) {
      for (const factor of [step, 1 / step]) {
        const candidate = { ...best, [name]: best[name] * factor };
        const error = errorOf(candidate);
        if (error < leastError) [best, leastError] = [candidate, error];
      }
    }
  }
  return best;
}

function compare(coarse: FleetSummary, fine: SimulationSummary): CoarseError {
  const ratio = (left: number | undefined, right: number | undefined): number =>
    left === undefined || right === undefined || right === 0 ? 0 : left / right - 1;
  return {
    ttftP50: ratio(coarse.ttft?.p50, fine.ttft?.p50),
    ttftP99: ratio(coarse.ttft?.p99, fine.ttft?.p99),
    itlMean: ratio(coarse.itl?.mean, fine.itl?.mean),
    itlP99: ratio(coarse.itl?.p99, fine.itl?.p99),
    e2elMean: ratio(coarse.e2el?.mean, fine.e2el?.mean),
  };
}

function size(error: CoarseError): number {
  return Object.values(error).reduce((sum, value) => sum + Math.abs(Math.log1p(value)), 0);
}

function everyNth(requests: Iterable<SimRequest>, n: number, maxCount: number): SimRequest[] {
  const taken: SimRequest[] = [];
  for (const request of requests) {
    if (request.index % n === 0) taken.push(request);
    if (taken.length === maxCount) break;
  }
  return taken;
}
