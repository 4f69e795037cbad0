import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { readArguments } from "../../bench/simulate/arguments.ts";
import { runPolicy, type Scenario } from "../../bench/simulate/compare-policies.ts";
import { FairnessMeter, maxMinShares } from "../../bench/simulate/fairness-meter.ts";
import { Machine, type MachineParameters } from "../../bench/simulate/machine.ts";
import { MACHINE_PRESETS } from "../../bench/simulate/machine-presets.ts";
import { DEFAULT_POLICY_OPTIONS, POLICIES } from "../../bench/simulate/policy.ts";
import type { SimRequest } from "../../bench/simulate/sim-request.ts";
import { createRequests, type Workload } from "../../bench/simulate/workload.ts";

/** Decode 10 ms for one row and 2 for each more; prefill 2 ms a token. */
const TOY: MachineParameters = {
  name: "toy",
  description: "round numbers",
  decodePoints: [
    [1, 10],
    [2, 12],
  ],
  prefillPoints: [
    [10, 20, 1_000],
    [100, 200, 1_000],
  ],
  decodeNsPerOwnToken: 0,
  decodeNsPerForeignCell: 0,
  mixedCall: "two passes",
  hostMsPerStep: 0,
  maxNumSeqs: 4,
  maxNumBatchedTokens: 100,
  maxModelLen: 128,
  numBlocks: 64,
  blockSize: 4,
  numSeqIds: 16,
  maxCachedBlocks: 64,
  maxHostBlocks: 0,
  hostCopyNsPerToken: 0,
  slo: "ttft=1000",
  freezeMs: 1_000,
};

function scenario(overrides: Partial<Scenario> & Pick<Scenario, "requests">): Scenario {
  return {
    machine: TOY,
    policyOptions: DEFAULT_POLICY_OPTIONS,
    slo: { ttft: 1_000 },
    noise: 0,
    seed: 1,
    ...overrides,
  };
}

function request(index: number, changes: Partial<SimRequest>): SimRequest {
  const numPromptTokens = changes.numPromptTokens ?? 10;
  return {
    index,
    atMs: 0,
    segments: [{ id: index, numTokens: numPromptTokens }],
    numPromptTokens,
    numOutputTokens: 2,
    tenant: "",
    label: "all",
    ...changes,
  };
}

const CPU_LIKE = MACHINE_PRESETS.find(({ name }) => name === "cpu-like")!;

function workload(overrides: Partial<Workload>): Workload {
  return {
    name: "poisson",
    seed: 1,
    numRequests: 300,
    rate: 1,
    maxModelLen: 2_048,
    trace: null,
    ...overrides,
  };
}

describe("The model of a machine", () => {
  const row = (start: number, numTokens: number) =>
    ({ start, numTokens, logits: "none", sample: false, sequence: {} }) as never;

  test("draws straight lines between its points and computes large calls in parts", () => {
    const machine = new Machine({ ...TOY, decodeNsPerOwnToken: 1e6, decodeNsPerForeignCell: 1e5 });
    assert.equal(machine.callMs([row(0, 1), row(0, 1), row(0, 1)], 3), 14 + 3 + 0.1 * (9 - 3));
    assert.equal(machine.callMs([row(0, 55)], 0), 110);
    // 50 tokens after 40: 2,000 pairs at 1,000 ns.
    assert.equal(machine.callMs([row(40, 50)], 0), 102);
    // 100 + 100 + 20: the second part looks back on 100, the third on 200.
    assert.equal(machine.callMs([row(0, 220)], 0), 440 + (100 * 100 + 20 * 200) / 1_000);
  });

  test("copies to and from host memory take time, tags do not", () => {
    const machine = new Machine({ ...TOY, hostCopyNsPerToken: 1e6 });
    const copy = { slot: 1, seqId: 1, fromPosition: 4, toPosition: 12 };
    const operations = [
      { kind: "save", ...copy },
      { kind: "trim", seqId: 1, fromPosition: 0 },
      { kind: "restore", ...copy },
    ] as const;
    assert.equal(machine.cacheOpsMs(operations), 16);
  });

  test("a call of both kinds costs both, or reads the weights once", () => {
    const rows = [row(9, 1), row(0, 50)];
    assert.equal(new Machine(TOY).callMs(rows, 0), 110);
    assert.equal(new Machine({ ...TOY, mixedCall: "one pass" }).callMs(rows, 0), 102);
  });
});

describe("Two requests computed by hand", () => {
  // The second comes while the first is in prefill.
  const requests = () => [request(0, { numOutputTokens: 3 }), request(1, { atMs: 5 })];

  test("under fcfs the first waits for the second's prefill in the same call", () => {
    // 0-20 prefill; 20-50 one call of a row and a prompt; 50-62 two rows.
    const { ttft, itl, e2el, durationMs, busyShare } = runPolicy("fcfs", scenario({ requests }));
    assert.deepEqual([ttft!.min, ttft!.max], [20, 45]);
    assert.deepEqual([itl!.count, itl!.min, itl!.max, itl!.mean], [3, 12, 30, 18]);
    assert.deepEqual([e2el!.min, e2el!.max], [57, 62]);
    assert.deepEqual([durationMs, busyShare], [62, 1]);
  });

  test("under headway its token is out before the prefill", () => {
    // 0-20 prefill; 20-30 a row, 30-50 the prompt; 50-62 two rows.
    const { ttft, itl, durationMs } = runPolicy("headway", scenario({ requests }));
    assert.deepEqual([ttft!.min, ttft!.max], [20, 45]);
    assert.deepEqual([itl!.min, itl!.max], [10, 32]);
    assert.equal(durationMs, 62);
  });
});

describe("Every request ends once", () => {
  const arbitraryRequests = fc.array(
    fc.record({
      gapMs: fc.integer({ min: 0, max: 400 }),
      numPromptTokens: fc.integer({ min: 1, max: 60 }),
      numOutputTokens: fc.integer({ min: 1, max: 60 }),
      isShared: fc.boolean(),
    }),
    { minLength: 1, maxLength: 30 },
  );

  for (const policy of POLICIES) {
    test(`${policy}, with memory for one or two`, () => {
      let numPreemptions = 0;
      const machine = { ...TOY, numBlocks: 36 };
      fc.assert(
        fc.property(arbitraryRequests, (drawn) => {
          let atMs = 0;
          const requests = drawn.map(({ gapMs, isShared, ...lengths }, index) => {
            atMs += gapMs;
            const segments = [{ id: isShared ? 1_000 : index, numTokens: lengths.numPromptTokens }];
            return request(index, { ...lengths, atMs, segments });
          });
          const summary = runPolicy(policy, scenario({ machine, requests: () => requests }));
          assert.equal(summary.e2el!.count, requests.length);
          const numGaps = requests.reduce((sum, { numOutputTokens }) => sum + numOutputTokens - 1, 0);
          assert.equal(summary.itl?.count ?? 0, numGaps);
          numPreemptions += summary.numPreemptions;
        }),
        { numRuns: 40, seed: 5 },
      );
      assert.ok(numPreemptions > 0, "memory was never short");
    });
  }
});

describe("The same seed", () => {
  const run = (seed: number) =>
    runPolicy(
      "headway",
      scenario({
        machine: CPU_LIKE,
        noise: 0.05,
        seed,
        requests: () => createRequests(workload({ name: "sharegpt", rate: 0.5, seed })),
      }),
    );

  test("gives the same figures, another seed others", () => {
    const first = run(1);
    assert.deepEqual(run(1), first);
    assert.notEqual(run(2).ttft!.mean, first.ttft!.mean);
  });
});

describe("Policies side by side", () => {
  test("a long prompt costs the others a fraction of what it does in one shot", () => {
    const intruders = scenario({
      machine: CPU_LIKE,
      requests: () => createRequests(workload({ name: "intruders", rate: 0.65, numRequests: 1_000 })),
    });
    const headway = runPolicy("headway", intruders);
    const fcfs = runPolicy("fcfs", intruders);
    assert.ok(headway.itl!.p99 < 0.4 * fcfs.itl!.p99, `${headway.itl!.p99} ms of ${fcfs.itl!.p99}`);
    assert.ok(headway.stall!.p99 < 0.4 * fcfs.stall!.p99, `${headway.stall!.p99} ms of ${fcfs.stall!.p99}`);
    assert.equal(headway.smooth.attainment, headway.goodput.attainment, "no stream of Headway's freezes");
    assert.ok(fcfs.smooth.attainment < fcfs.goodput.attainment, "some do in arrival order");
  });

  test("a smaller budget makes smaller stalls", () => {
    const stallWith = (fillBudget: number): number =>
      runPolicy(
        "fill",
        scenario({
          machine: CPU_LIKE,
          policyOptions: { ...DEFAULT_POLICY_OPTIONS, fillBudget },
          requests: () => createRequests(workload({ name: "intruders", rate: 0.5 })),
        }),
      ).stall!.p99;
    assert.ok(stallWith(128) < stallWith(512) && stallWith(512) < stallWith(2_048));
  });
});

describe("Shared prefixes", () => {
  test("are computed once and then found", () => {
    const requests = () => createRequests(workload({ name: "shared-prefix", rate: 0.3, numRequests: 200 }));
    const { cacheHitShare } = runPolicy(
      "headway",
      scenario({ machine: { ...CPU_LIKE, maxCachedBlocks: 1_024 }, requests }),
    );
    assert.ok(cacheHitShare > 0.7, `${cacheHitShare}`);
  });

  test("of a trace's hashes are really shared: with memory for all, hits are the blocks seen before", () => {
    const path = fileURLToPath(
      new URL("../../../bench/traces/mooncake-conversation-1000.jsonl.gz", import.meta.url),
    );
    const trace = { path, scaleLength: 1 / 32, scaleTime: 50 };
    const all = {
      ...CPU_LIKE,
      maxModelLen: 16_384,
      numBlocks: 65_536,
      maxCachedBlocks: 65_536,
      numSeqIds: 1_100,
    };
    const requests = [
      ...createRequests(workload({ name: "trace", numRequests: 1_000, maxModelLen: 16_384, trace })),
    ];
    const seen = new Set<number>();
    let [numTokens, numSeenTokens] = [0, 0];
    for (const { segments } of requests) {
      for (const segment of segments) {
        numTokens += segment.numTokens;
        if (seen.has(segment.id)) numSeenTokens += segment.numTokens;
        seen.add(segment.id);
      }
    }
    const machine = { ...all, decodeNsPerForeignCell: 0 };
    const { cacheHitShare } = runPolicy("headway", scenario({ machine, requests: () => requests }));
    assert.ok(Math.abs(cacheHitShare - numSeenTokens / numTokens) < 0.02, `${cacheHitShare}`);
    assert.ok(cacheHitShare > 0.1);
  });
});

describe("Fairness", () => {
  test("max-min shares leave the small demands whole", () => {
    assert.deepEqual(maxMinShares([10, 100, 100], 90), [10, 40, 40]);
    assert.deepEqual(maxMinShares([100, 10], 200), [100, 10]);
  });

  const jainOf = (quietService: number): number | null => {
    const meter = new FairnessMeter(1_000);
    meter.ask("greedy", 1_000);
    meter.ask("quiet", 10);
    meter.serve("greedy", 100);
    meter.serve("quiet", quietService);
    meter.advance(1_000);
    return meter.jain();
  };

  test("is 1 when the modest tenant has all it wants, though the other has ten times as much", () => {
    assert.equal(jainOf(10), 1);
  });

  test("falls to a half when one of two is starved", () => {
    assert.equal(jainOf(0), 0.5);
  });

  test("is unknown when nobody competes", () => {
    assert.equal(new FairnessMeter(1_000).jain(), null);
  });
});

describe("Arguments", () => {
  test("a load becomes a rate: twice the load, twice the rate; more replicas, more again", () => {
    const rateOf = (...args: string[]): number => readArguments(args)!.workload.rate;
    assert.ok(Math.abs(rateOf("--load", "0.8") / rateOf("--load", "0.4") - 2) < 1e-9);
    assert.ok(Math.abs(rateOf("fleet", "--replicas", "1,3") / rateOf("--load", "0.7") - 3) < 1e-9);
  });

  test("mistakes are told", () => {
    assert.throws(() => readArguments(["--workload", "trace"]), /--trace FILE/);
    assert.throws(() => readArguments(["--policies", "magic"]), /'magic' is unknown/);
    assert.throws(() => readArguments(["--requests", "1.5"]), /whole number/);
    assert.throws(() => readArguments(["fleet", "more"]), /expected 'engine' or 'fleet'/);
    assert.throws(() => readArguments(["--no-such"]), TypeError);
    assert.equal(readArguments(["--help"]), null);
  });
});
