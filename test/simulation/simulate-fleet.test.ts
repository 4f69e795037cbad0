import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Scenario } from "../../bench/simulate/compare-policies.ts";
import { calibrate } from "../../bench/simulate/fleet/calibration.ts";
import type { FleetSummary } from "../../bench/simulate/fleet/fleet-metrics.ts";
import { simulateFleet } from "../../bench/simulate/fleet/fleet-simulation.ts";
import { pathKeys, PrefixLru } from "../../bench/simulate/fleet/prefix-lru.ts";
import { ROUTINGS, type RoutingName } from "../../bench/simulate/fleet/routing.ts";
import { MACHINE_PRESETS } from "../../bench/simulate/machine-presets.ts";
import { DEFAULT_POLICY_OPTIONS } from "../../bench/simulate/policy.ts";
import type { SimRequest } from "../../bench/simulate/sim-request.ts";
import { createRequests, type SimWorkloadName } from "../../bench/simulate/workload.ts";

const H100_LIKE = MACHINE_PRESETS.find(({ name }) => name === "h100-like")!;

interface Fleet {
  readonly workload?: SimWorkloadName;
  readonly numRequests?: number;
  readonly rate: number;
  readonly numReplicas: number;
  readonly routing?: RoutingName;
}

function requestsOf({ workload = "sharegpt", numRequests = 4_000, rate }: Fleet): Iterable<SimRequest> {
  return createRequests({ name: workload, seed: 1, numRequests, rate, maxModelLen: 8_192, trace: null });
}

function run(fleet: Fleet): FleetSummary {
  return simulateFleet(requestsOf(fleet), {
    machine: H100_LIKE,
    targetItlMs: null,
    factors: { decode: 1, prefill: 1 },
    numReplicas: fleet.numReplicas,
    routing: fleet.routing ?? "round-robin",
    slo: { ttft: 500, tpot: 30 },
  });
}

describe("A coarse replica", () => {
  test("takes as long over one request as its calls do", () => {
    const request: SimRequest = {
      index: 0,
      atMs: 1_000,
      segments: [{ id: 0, numTokens: 1_000 }],
      numPromptTokens: 1_000,
      numOutputTokens: 11,
      tenant: "",
      label: "all",
    };
    const machine = {
      ...H100_LIKE,
      decodePoints: [[1, 4] as const, [2, 4] as const],
      prefillPoints: [[1_000, 100, 0] as const],
      decodeNsPerOwnToken: 0,
      hostMsPerStep: 1,
    };
    const { ttft, itl, e2el, durationMs } = simulateFleet([request], {
      machine,
      targetItlMs: null,
      factors: { decode: 1, prefill: 1 },
      numReplicas: 1,
      routing: "round-robin",
      slo: {},
    });
    assert.ok(Math.abs(ttft!.max - 101) < 1e-6 && Math.abs(e2el!.max - 151) < 1e-6);
    assert.ok(Math.abs(itl!.mean - 5) < 1e-6 && Math.abs(durationMs - 151) < 1e-6);
  });

  test("agrees with the scheduler's own simulation, also on requests it was not fitted to", () => {
    const scenario: Scenario = {
      machine: H100_LIKE,
      policyOptions: DEFAULT_POLICY_OPTIONS,
      slo: {},
      noise: 0.03,
      seed: 1,
      requests: () => requestsOf({ rate: 50, numRequests: 1_600, numReplicas: 2 }),
    };
    const { heldOut } = calibrate(scenario, 2);
    assert.ok(Math.abs(heldOut.itlMean) < 0.1 && Math.abs(heldOut.e2elMean) < 0.1, JSON.stringify(heldOut));
    assert.ok(Math.abs(heldOut.ttftP50) < 0.35, JSON.stringify(heldOut));
  });
});

describe("A fleet", () => {
  for (const routing of ROUTINGS) {
    test(`answers every request once with ${routing}`, () => {
      const summary = run({ rate: 120, numReplicas: 4, routing });
      assert.equal(summary.numRequests, 4_000);
      assert.equal(summary.busyShares.length, 4);
      assert.ok(summary.busyShares.every((share) => share > 0 && share <= 1));
      assert.deepEqual(run({ rate: 120, numReplicas: 4, routing }), summary);
    });
  }

  test("that is larger serves better", () => {
    const attainment = (numReplicas: number): number =>
      run({ rate: 150, numReplicas, routing: "least-loaded" }).goodput.attainment;
    assert.ok(attainment(2) < 0.6 && attainment(6) > 0.99);
  });

  test("finds more of shared prefixes when requests go where they are", () => {
    // Room for two or three of the eight prefixes in each replica.
    const hits = (routing: RoutingName): number =>
      simulateFleet(requestsOf({ workload: "shared-prefix", rate: 20, numReplicas: 4 }), {
        machine: { ...H100_LIKE, maxCachedBlocks: 40, maxHostBlocks: 0 },
        targetItlMs: null,
        factors: { decode: 1, prefill: 1 },
        numReplicas: 4,
        routing,
        slo: {},
      }).cacheHitShare;
    const [roundRobin, hash, aware] = [hits("round-robin"), hits("prefix-hash"), hits("prefix-aware")];
    assert.ok(hash > roundRobin + 0.1 && aware > roundRobin + 0.1, `${roundRobin} ${hash} ${aware}`);
  });
});

describe("The prefixes a replica remembers", () => {
  const prompt = (...ids: number[]) => ids.map((id) => ({ id, numTokens: 10 }));

  test("are whole: a segment counts only after all before it", () => {
    const cache = new PrefixLru();
    cache.insert(pathKeys(prompt(1, 2, 3)), prompt(1, 2, 3), 100);
    assert.equal(cache.numCachedTokens(pathKeys(prompt(1, 2, 4))), 20);
    assert.equal(cache.numCachedTokens(pathKeys(prompt(2, 3))), 0);
  });

  test("are forgotten oldest first, from the end", () => {
    const cache = new PrefixLru();
    cache.insert(pathKeys(prompt(1, 2)), prompt(1, 2), 100);
    cache.insert(pathKeys(prompt(3)), prompt(3), 20);
    assert.equal(cache.numTokens, 20);
    assert.equal(cache.numCachedTokens(pathKeys(prompt(1, 2))), 10);
    assert.equal(cache.numCachedTokens(pathKeys(prompt(3))), 10);
  });
});
