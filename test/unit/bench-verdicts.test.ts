import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { compareSides, type Side } from "../../bench/compare/compare-runs.ts";
import { judge, parseFailConditions } from "../../bench/compare/fail-condition.ts";
import { parseLoadShape } from "../../bench/load/load-shape.ts";
import { summarizeRun } from "../../bench/measure/run-summary.ts";
import type { BenchResult } from "../../bench/report/bench-result.ts";
import { escapeHtml, htmlTable } from "../../bench/report/html-page.ts";
import { LiveView, sparkline } from "../../bench/report/live-view.ts";
import { summaryText } from "../../bench/report/summary-text.ts";
import { vllmFields } from "../../bench/report/vllm-fields.ts";
import { findMaxRate } from "../../bench/search/find-max-rate.ts";
import { BENCH_CONFIG, benchResultOf, steadyRun } from "../support/bench-results.ts";

describe("fail conditions", () => {
  const verdict = (text: string, now: BenchResult, baseline: BenchResult | null): boolean[] =>
    judge(parseFailConditions(text), now, baseline).map(({ failed }) => failed);

  it("compare with the baseline or with a number", () => {
    const [slow, fast] = [benchResultOf(steadyRun(60)), benchResultOf(steadyRun(50))];
    assert.deepEqual(verdict("ttft.p99>1.1x,ttft.p99>1.3x", slow, fast), [true, false]);
    assert.deepEqual(verdict("ttft.p50>+10%,ttft.p50>+30%", slow, fast), [true, false]);
    assert.deepEqual(verdict("ttft.max>59,ttft.max>1s,errors>0,itl.p50>=10", slow, null), [
      true,
      false,
      false,
      true,
    ]);
    assert.deepEqual(verdict("throughput.output<0.9x,attainment<1,stall.max>9ms", slow, fast), [
      false,
      false,
      true,
    ]);
  });

  it("fail when something cannot be measured: a gate must not pass by accident", () => {
    assert.deepEqual(verdict("server_queue.p99>1,ttft.p99>1.1x", benchResultOf(steadyRun(50)), null), [
      true,
      true,
    ]);
  });

  it("are refused when they make no sense", () => {
    for (const bad of ["ttft.p42>1", "speed>1", "ttft.p99", "ttft.p99=3", ""])
      assert.throws(() => parseFailConditions(bad), RangeError);
  });
});

describe("the search for the highest rate", () => {
  const options = { fromRate: 1, maxRate: 1000, tolerance: 0.05, numConfirmations: 2, maxTrials: 60 };

  it("brackets, bisects and confirms", async () => {
    for (const limit of [0.3, 1, 7.3, 450]) {
      const found = await findMaxRate(async (rate) => rate <= limit, options);
      assert.ok(found.rate <= limit && found.rate > limit / 1.06, `${found.rate} for ${limit}`);
      assert.equal(found.confirmed, true);
      assert.equal(found.trials.filter(({ purpose }) => purpose === "confirm").length, 2);
    }
  });

  it("goes lower when a lucky pass is not confirmed", async () => {
    // Trial 5 passes by luck at a rate that the server cannot hold.
    const found = await findMaxRate(async (rate, index) => rate <= 4 || (rate <= 5 && index < 5), options);
    assert.ok(found.rate <= 4 && found.rate > 3.7, `${found.rate}`);
    assert.equal(found.confirmed, true);
  });

  it("says so when nothing passes, everything passes, or the trials run out", async () => {
    assert.equal((await findMaxRate(async () => false, options)).rate, 0);
    assert.equal((await findMaxRate(async () => true, options)).rate, 1000);
    const cut = await findMaxRate(async (rate) => rate <= 450, { ...options, maxTrials: 4 });
    assert.deepEqual([cut.rate, cut.confirmed, cut.trials.length], [8, false, 4]);
  });
});

describe("comparison of two sides", () => {
  const window = { warmupMs: 0, cooldownMs: 0, durationMs: null };
  const side = (label: string, ttfts: number[]): Side => ({
    label,
    rounds: ttfts.map((ttftMs) => {
      const measured = steadyRun(ttftMs);
      return { measured, summary: summarizeRun({ records: measured, usage: [] }, window, null) };
    }),
  });
  const find = (a: Side, b: Side, metric: string) =>
    compareSides(a, b, 1).find((each) => each.metric === metric);

  it("shows a real difference and its direction", () => {
    const found = find(side("A", [50, 51, 52, 50]), side("B", [60, 61, 62, 60]), "ttft.p50");
    assert.equal(found?.verdict, "worse");
    assert.ok(Math.abs((found?.ratio ?? 0) - 1.2) < 0.01);
    assert.equal(find(side("A", [60, 60]), side("B", [50, 50]), "ttft.p99")?.verdict, "better");
  });

  it("shows none where the rounds disagree", () => {
    const found = find(side("A", [50, 60, 50, 60]), side("B", [60, 50, 60, 50]), "ttft.p50");
    assert.equal(found?.verdict, "no difference shown");
  });
});

describe("reports", () => {
  it("carry vLLM's names, with latencies from the sending as there", () => {
    const fields = vllmFields(benchResultOf(steadyRun(50, 50, 20)));
    assert.equal(fields["completed"], 50);
    assert.equal(fields["request_rate"], 10);
    assert.ok(Math.abs((fields["median_ttft_ms"] as number) - 30.25) < 0.1);
    assert.ok(Math.abs((fields["median_e2el_including_client_queue_ms"] as number) - 70.25) < 0.1);
    for (const name of [
      "p99.9_itl_ms",
      "mean_tpot_ms",
      "output_throughput",
      "request_goodput",
      "max_concurrent_requests",
    ]) {
      assert.equal(typeof fields[name], "number", name);
    }
  });

  it("warn hard about a late client and never hold a key", () => {
    const late = benchResultOf(steadyRun(50, 50, 20));
    assert.match(summaryText(late), /WARNING: the client was late/);
    assert.doesNotMatch(summaryText(benchResultOf(steadyRun(50))), /WARNING/);
    assert.doesNotMatch(JSON.stringify(late), /secret-key|tenant-key/);
  });

  it("take intervals over runs when there are several", () => {
    assert.equal(benchResultOf(steadyRun(50)).intervalsOver, "requests");
    const several = benchResultOf(steadyRun(50), steadyRun(55), steadyRun(60));
    assert.equal(several.intervalsOver, "runs");
    const [low = 0, high = 0] = several.intervals.ttft?.p50 ?? [];
    assert.ok(low >= 50 && low < 55 && high > 55 && high < 61, `${low} .. ${high}`);
  });

  it("escape what servers say", () => {
    assert.equal(escapeHtml('<b a="1">&'), "&lt;b a=&quot;1&quot;&gt;&amp;");
    assert.match(htmlTable([["h"], ["<script>"]]), /<td>&lt;script&gt;<\/td>/);
  });
});

describe("the live view", () => {
  it("redraws on a terminal and writes plain lines elsewhere", () => {
    for (const isTTY of [true, false]) {
      let nowMs = 0;
      let written = "";
      const view = new LiveView({ isTTY, columns: 200, write: (text) => (written += text) }, () => nowMs);
      view.onRunStart(0, BENCH_CONFIG);
      view.onRecords(steadyRun(50, 3));
      for (nowMs = 1000; nowMs <= 12_000; nowMs += 1000) {
        view.onProgress({ numSent: 5, numInFlight: 2, numTokens: nowMs });
      }
      assert.match(written, /in flight 2 {2}done 3 {2}failed 0/);
      assert.match(written, /1000 tokens\/s {2}TTFT 50\.0 ms\/50\.0 ms/);
      assert.equal(written.includes("\u001b["), isTTY);
      assert.equal(written.split("\n").length - 1, isTTY ? 12 * 3 : 2);
    }
  });

  it("tells the time of sending from that of draining", () => {
    let [nowMs, written] = [0, ""];
    const view = new LiveView({ write: (text) => (written += text) }, () => nowMs);
    view.onRunStart(0, { ...BENCH_CONFIG, load: { ...BENCH_CONFIG.load, durationMs: 6000 } });
    for (nowMs = 5000; nowMs <= 10_000; nowMs += 5000)
      view.onProgress({ numSent: 1, numInFlight: 1, numTokens: 1 });
    assert.match(written, /^5\/6 s {2}sent 1.*\n6\/6 s \+ 4 s drain {2}sent 1/);
  });

  it("scales sparklines to their largest value", () => {
    assert.equal(sparkline([0, 4, 8]), "▁▅█");
  });
});

describe("load shapes", () => {
  it("are parsed, or refused with the forms that exist", () => {
    assert.deepEqual(parseLoadShape("steady", 3), { kind: "steady", rate: 3 });
    assert.deepEqual(parseLoadShape("ramp:1-10@60", null), {
      kind: "ramp",
      fromRate: 1,
      toRate: 10,
      seconds: 60,
    });
    assert.deepEqual(parseLoadShape("stairs:1,2,4@30", null), {
      kind: "stairs",
      rates: [1, 2, 4],
      stepSeconds: 30,
    });
    assert.deepEqual(parseLoadShape("burst:16@5", null), { kind: "burst", size: 16, everySeconds: 5 });
    for (const bad of ["steady", "ramp:1-10", "ramp:x-1@3", "stairs:1,0@3", "burst:1.5@5", "wave:1@1"]) {
      assert.throws(() => parseLoadShape(bad, null), /unknown load shape/);
    }
  });
});
