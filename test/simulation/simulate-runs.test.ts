import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { readArguments } from "../../bench/simulate/arguments.ts";
import { EngineSimulation } from "../../bench/simulate/engine-simulation.ts";
import { Machine } from "../../bench/simulate/machine.ts";
import { MACHINE_PRESETS } from "../../bench/simulate/machine-presets.ts";
import { createPolicy, DEFAULT_POLICY_OPTIONS, POLICIES } from "../../bench/simulate/policy.ts";
import { runSimulation, type SimulationReport } from "../../bench/simulate/run-simulation.ts";
import { SimulationMetrics } from "../../bench/simulate/simulation-metrics.ts";
import { SimulationThreads } from "../../bench/simulate/simulation-threads.ts";
import { createRequests } from "../../bench/simulate/workload.ts";

const CPU_LIKE = MACHINE_PRESETS.find(({ name }) => name === "cpu-like")!;

async function report(args: readonly string[], numThreads: number): Promise<SimulationReport> {
  const threads = new SimulationThreads(numThreads);
  try {
    return await runSimulation(readArguments([...args, "--threads", String(numThreads)])!, threads);
  } finally {
    await threads.close();
  }
}

/** The program as `npm run bench:simulate` starts it. */
async function runProgram(...args: readonly string[]): Promise<{ code: number | null; errors: string }> {
  const entry = fileURLToPath(new URL("../../bench/simulate/main.js", import.meta.url));
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [entry, ...args], (_error, _output, errors) =>
      resolve({ code: child.exitCode, errors }),
    );
  });
}

describe("What the user can mend", () => {
  for (const threads of ["1", "2"]) {
    test(`is told in one sentence, with ${threads} threads`, async () => {
      const { code, errors } = await runProgram("--trace", "nope", "--threads", threads);
      assert.equal(code, 1);
      assert.match(errors, /^cannot read nope: .*\n$/);
    });
  }

  test("is told when the result cannot be written, or a machine not be read", async () => {
    const unwritable = await runProgram("--requests", "1", "--json", "/nope/result.json");
    assert.equal(unwritable.code, 1);
    assert.doesNotMatch(unwritable.errors, /\n {4}at /);
    const unknown = await runProgram("--machine", "nope.json");
    assert.equal(unknown.code, 2);
    assert.match(unknown.errors, /^cannot read nope.json: /);
  });
});

describe("A report", () => {
  const commands = {
    "of policies": ["--workload", "abusive-tenant", "--requests", "200", "--load", "1.3"],
    "of fleets": ["fleet", "--workload", "shared-prefix", "--requests", "200", "--replicas", "1,2"],
  };
  for (const [name, args] of Object.entries(commands)) {
    test(`${name} is the same with threads and without`, async () => {
      const [alone, together] = await Promise.all([report(args, 1), report(args, 3)]);
      assert.deepEqual(together, alone);
    });
  }

  test("that a thread fails to make is told like that of this one", async () => {
    const settings = readArguments(["--requests", "1"])!;
    const broken = { ...settings, machine: { ...settings.machine, maxModelLen: 1e9 } };
    for (const numThreads of [1, 2]) {
      const threads = new SimulationThreads(numThreads);
      await assert.rejects(runSimulation(broken, threads), { name: "RangeError", message: /KV pool/ });
      await threads.close();
    }
  });
});

describe("All policies have the same memory", () => {
  for (const name of POLICIES) {
    test(`${name} leaves no more idle blocks in it than the machine keeps`, () => {
      const machine = { ...CPU_LIKE, maxCachedBlocks: 20 };
      const { policy, kv } = createPolicy(name, machine, DEFAULT_POLICY_OPTIONS);
      new EngineSimulation({
        machine: new Machine(machine),
        policy,
        kv,
        requests: createRequests({
          name: "poisson",
          seed: 1,
          numRequests: 30,
          rate: 1,
          maxModelLen: 2_048,
          trace: null,
        }),
        metrics: new SimulationMetrics({}, Infinity),
        noise: 0,
        seed: 1,
      }).run();
      const { cached } = kv.counts();
      assert.ok(cached > 0 && cached <= 20, `${cached} blocks are cached`);
    });
  }
});
