import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ThreadGovernor } from "../../src/engine/thread-governor.ts";

/** A machine with a clock of its own: calls last 100 ms, threads get `share` of their cores. */
function createMachine(maxThreads: number) {
  let nowMs = 0;
  const changes: number[] = [];
  /** Of others, since the governor last asked for idle cores, as the real probe counts it. */
  const busyMs = { others: 0, sinceMs: 0 };
  const machine = { share: 1, idleCores: 0 as number | null, changes, run, pause };
  const governor = new ThreadGovernor({
    maxThreads,
    now: () => nowMs,
    idleCores: () => {
      const elapsedMs = nowMs - busyMs.sinceMs;
      const calmPart = elapsedMs === 0 ? 1 : 1 - busyMs.others / elapsedMs;
      Object.assign(busyMs, { others: 0, sinceMs: nowMs });
      return machine.idleCores === null ? null : machine.idleCores * calmPart;
    },
    onChange: (numThreads) => changes.push(numThreads),
  });
  function pause(durationMs: number): void {
    nowMs += durationMs;
    busyMs.others += durationMs;
  }
  function run(durationMs: number): void {
    for (const endMs = nowMs + durationMs; nowMs < endMs;) {
      governor.begin();
      nowMs += 100;
      governor.observe({ durationMs: 100, cpuMs: 100 * governor.numThreads * machine.share });
    }
  }
  return machine;
}

describe("ThreadGovernor", () => {
  it("keeps all threads while they have their cores", () => {
    const machine = createMachine(4);
    machine.run(10_000);
    assert.deepEqual(machine.changes, []);
  });

  it("gives up a thread after a second of mild contention", () => {
    const machine = createMachine(2);
    machine.share = 0.75;
    machine.run(600);
    assert.deepEqual(machine.changes, [], "which may be a visitor's");
    machine.run(300);
    assert.deepEqual(machine.changes, [1]);
  });

  it("gives up a thread with the first window of heavy contention, down to one", () => {
    const machine = createMachine(3);
    machine.share = 0.6;
    machine.run(300);
    assert.deepEqual(machine.changes, [2]);
    machine.run(5000);
    assert.deepEqual(machine.changes, [2, 1]);
  });

  it("does not mind a passing visitor", () => {
    const machine = createMachine(2);
    for (let round = 0; round < 20; round++) {
      machine.share = 0.6;
      machine.run(100);
      machine.share = 1;
      machine.run(200);
    }
    assert.deepEqual(machine.changes, []);
  });

  it("takes a core back only when one has been idle for a while", () => {
    const machine = createMachine(2);
    machine.share = 0.5;
    machine.run(300);
    machine.share = 1;
    machine.idleCores = 0.3;
    machine.run(20_000);
    assert.deepEqual(machine.changes, [1]);
    machine.idleCores = 1;
    machine.run(1000);
    assert.deepEqual(machine.changes, [1], "one look is not enough");
    machine.run(2000);
    assert.deepEqual(machine.changes, [1, 2]);
  });

  const bursts = [
    {
      name: "takes no account of what others did while it computed nothing",
      pauseMs: 1500,
      runMs: 1800,
      count: 4,
    },
    { name: "takes a core back also between short bursts", pauseMs: 2000, runMs: 200, count: 20 },
  ];
  for (const { name, pauseMs, runMs, count } of bursts) {
    it(name, () => {
      const machine = createMachine(2);
      machine.share = 0.5;
      machine.run(300);
      machine.share = 1;
      machine.idleCores = 1;
      for (let burst = 0; burst < count; burst++) {
        machine.pause(pauseMs);
        machine.run(runMs);
      }
      assert.deepEqual(machine.changes, [1, 2]);
    });
  }

  it("waits longer after each step upward that was wrong", () => {
    const machine = createMachine(2);
    machine.idleCores = 1;
    const tries: number[] = [];
    for (let round = 0; round < 60; round++) {
      const isUp = machine.changes.length % 2 === 0;
      machine.share = isUp ? 0.5 : 1;
      machine.run(1000);
      tries.push(machine.changes.length);
    }
    const numUps = machine.changes.filter((numThreads) => numThreads === 2).length;
    assert.ok(numUps >= 2 && numUps <= 6, `${numUps} tries in a minute`);
  });

  it("stays put where idle cores cannot be read", () => {
    const machine = createMachine(2);
    machine.share = 0.5;
    machine.run(300);
    machine.share = 1;
    machine.idleCores = null;
    machine.run(30_000);
    assert.deepEqual(machine.changes, [1]);
  });
});
