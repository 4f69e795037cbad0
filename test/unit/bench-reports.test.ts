import assert from "node:assert/strict";
import { describe, it } from "node:test";

import fc from "fast-check";

import { baselineNotes } from "../../bench/compare/baseline-notes.ts";
import { configFromArguments } from "../../bench/config-from-arguments.ts";
import { timeSeries } from "../../bench/measure/time-series.ts";
import { PEER_WORKLOADS, sized, workloadArguments } from "../../bench/peers/peer-workloads.ts";
import { peerTable } from "../../bench/peers/peer-table.ts";
import type { BenchResult } from "../../bench/report/bench-result.ts";
import { furtherTables } from "../../bench/report/html-tables.ts";
import { inLanes } from "../../bench/report/lanes.ts";
import { summaryText } from "../../bench/report/summary-text.ts";
import { peakConcurrency } from "../../bench/measure/throughput.ts";
import { benchResultOf, steadyRun } from "../support/bench-results.ts";
import { recordOf } from "../support/simulated-load.ts";

describe("the lanes of the timeline", () => {
  const interval = fc.tuple(fc.nat(100), fc.integer({ min: 1, max: 50 }));

  it("hold no two streams at one moment and are as few as can be", () => {
    fc.assert(
      fc.property(fc.array(interval, { maxLength: 60 }), (drawn) => {
        const intervals = drawn
          .map(([start, length]): [number, number] => [start, start + length])
          .toSorted((a, b) => a[0] - b[0]);
        const lanes = inLanes(intervals);
        const ends: number[] = [];
        intervals.forEach(([start, end], index) => {
          const lane = lanes[index] as number;
          assert.ok((ends[lane] ?? 0) <= start, "two streams in one lane");
          ends[lane] = end;
        });
        const records = intervals.map(([sentMs, endMs]) => recordOf({ sentMs, endMs }));
        assert.equal(ends.length, peakConcurrency(records));
      }),
    );
  });
});

describe("charts over time", () => {
  it("leave slow readers and broken streams out of the latencies, not out of the throughput", () => {
    const slow = recordOf({ slowReader: true, chunkMs: [900, 1900], endMs: 1900 });
    const broken = recordOf({ outcome: "cancelled", chunkMs: [700], endMs: 800 });
    const { ttftP99, itlP99, outputTokensPerSecond, sliceSeconds } = timeSeries([slow, broken]);
    assert.ok([...ttftP99, ...itlP99].every((value) => value === null));
    const tokens = outputTokensPerSecond.reduce((sum, rate) => sum + rate * sliceSeconds, 0);
    assert.ok(Math.abs(tokens - 3) < 1e-9, `${tokens} tokens`);
  });
});

describe("the tables of a report", () => {
  const failed = recordOf({
    index: 50,
    scheduledMs: 4900,
    endMs: 5000,
    outcome: "error",
    errorKind: "http_400",
    errorMessage: "no such\n <thing>",
    tenant: "a",
  });

  it("tell errors with their reason, tenants, silences, runs and the client's own state", () => {
    const html = furtherTables(benchResultOf([...steadyRun(50), failed], steadyRun(60)));
    assert.match(html, /<td>http_400<\/td><td>1<\/td><td>no such &lt;thing&gt;<\/td>/);
    for (const title of ["Tenants", "Longest silences", "Errors", "Runs", "The client itself"])
      assert.ok(html.includes(`<h2>${title}`), title);
    assert.doesNotMatch(furtherTables(benchResultOf(steadyRun(50))), /Errors|Runs|Tenants/);
  });

  it("on a terminal fit 100 columns and end with the definitions of all that they show", () => {
    const text = summaryText(benchResultOf([...steadyRun(50), failed], steadyRun(60)));
    const tables = text.split("\n").filter((line) => (line.match(/\d ms/g)?.length ?? 0) > 2);
    assert.ok(tables.length > 10);
    for (const line of tables) assert.ok(line.length <= 100, line);
    for (const name of ["TTFT", "ITL", "throughput", "goodput", "fairness", "stall", "lag"])
      assert.match(text, new RegExp(`^${name} +[A-Z]`, "m"));
  });
});

describe("a baseline", () => {
  it("that was taken otherwise is named, another seed of the run's words is no difference", () => {
    const now = benchResultOf(steadyRun(50));
    const { config } = now;
    const read = (result: BenchResult): BenchResult => JSON.parse(JSON.stringify(result)) as BenchResult;
    assert.deepEqual(baselineNotes(now, read({ ...now, config: { ...config, textSeed: 9 } })), []);
    const load = { ...config.load, shape: { kind: "steady", rate: 11 } as const };
    const other = { ...now, config: { ...config, load }, machine: { ...now.machine, cores: 99 } };
    assert.deepEqual(baselineNotes(now, read(other)), [
      "note: the baseline was taken with another load",
      "note: the baseline was taken with another machine",
    ]);
  });
});

describe("the comparison of servers", () => {
  it("runs workloads that the load tester understands, at any size", () => {
    for (const workload of PEER_WORKLOADS) {
      const whole = configFromArguments(workloadArguments(workload), "m").load;
      const half = configFromArguments(workloadArguments(sized(workload, 0.5)), "m").load;
      const halves = (value: number | null): number | null => (value === null ? null : Math.round(value / 2));
      assert.equal(half.maxRequests, halves(whole.maxRequests));
      assert.ok(Math.abs((half.durationMs ?? 0) - (whole.durationMs ?? 0) / 2) <= 500);
    }
  });

  it("shows every server under every workload, failures included", () => {
    const results = { load: benchResultOf(steadyRun(50)) };
    const table = peerTable([
      { peer: "a", version: "1", results },
      { peer: "b", version: "2", results: { load: benchResultOf([...steadyRun(60), failedRecord()]) } },
    ]);
    assert.match(table, /\| load \| a \|.*\| 0 \|\n\| load \| b \|.*\| 1 \|/);
    assert.match(table, /Versions: a: 1; b: 2/);
  });
});

const failedRecord = () =>
  recordOf({ index: 50, scheduledMs: 4900, endMs: 5000, outcome: "error", errorKind: "reset" });
