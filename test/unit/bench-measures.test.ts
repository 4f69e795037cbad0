import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { fairness, jainIndex } from "../../bench/measure/fairness.ts";
import { latencyDistributions } from "../../bench/measure/latency.ts";
import { interTokenGaps, requestMetrics } from "../../bench/measure/request-metrics.ts";
import { summarizeRun } from "../../bench/measure/run-summary.ts";
import { goodput, meetsSlo, parseSlo } from "../../bench/measure/slo.ts";
import { stalls } from "../../bench/measure/stalls.ts";
import { peakConcurrency, throughput } from "../../bench/measure/throughput.ts";
import { timeSeries } from "../../bench/measure/time-series.ts";
import { windowOf } from "../../bench/measure/window.ts";
import { recordOf } from "../support/simulated-load.ts";

/** Due at 100, sent at 130, tokens at 200, 210, 230, 300, ended at 305. */
const RECORD = recordOf({ scheduledMs: 100, sentMs: 130, chunkMs: [200, 210, 230, 300], endMs: 305 });

describe("latencies of one request", () => {
  it("start at the scheduled time, and at the sending where they say so", () => {
    assert.deepEqual(requestMetrics(RECORD), {
      ttftMs: 100,
      ttftSentMs: 70,
      tpotMs: 100 / 3,
      e2elMs: 205,
      e2elSentMs: 175,
      clientQueueMs: 30,
      stallMs: 70,
    });
  });

  it("split a chunk of several tokens evenly", () => {
    const record = recordOf({ chunkMs: [0, 30, 40], chunkTokens: [1, 3, 1], outputTokens: 5 });
    assert.deepEqual(interTokenGaps(record), [10, 10, 10, 10]);
    assert.equal(requestMetrics(record).tpotMs, 10);
    const { itl, icl } = latencyDistributions([record]);
    assert.deepEqual([itl.count, icl.count], [4, 2]);
  });

  it("have no pace with a single token and no TTFT without one", () => {
    const single = requestMetrics(recordOf({ chunkMs: [5] }));
    assert.deepEqual([single.tpotMs, single.stallMs, single.ttftMs], [null, null, 5]);
    assert.equal(requestMetrics(recordOf({ endMs: 9 })).ttftMs, null);
  });
});

describe("SLOs", () => {
  it("parse lists and MLPerf presets, and refuse what they do not know", () => {
    assert.deepEqual(parseSlo("ttft=500, itl=50"), { ttft: 500, itl: 50 });
    assert.deepEqual(parseSlo("mlperf-llama3.1-8b-interactive"), { ttft: 500, tpot: 30 });
    for (const bad of ["ttft", "ttft=-1", "speed=3", "ttft=abc", ""])
      assert.throws(() => parseSlo(bad), RangeError);
  });

  it("need every limit to hold; failures meet none; one token has no pace to miss", () => {
    assert.equal(meetsSlo(RECORD, { ttft: 100, tpot: 34 }), true);
    assert.equal(meetsSlo(RECORD, { ttft: 99 }), false);
    assert.equal(meetsSlo(RECORD, { ttft: 100, stall: 69 }), false);
    assert.equal(meetsSlo(recordOf({ ...RECORD, outcome: "error" }), { ttft: 1000 }), false);
    assert.equal(meetsSlo(recordOf({ chunkMs: [5] }), { tpot: 1 }), true);
  });

  it("give goodput per second of the window and its share", () => {
    const records = [RECORD, recordOf({ ...RECORD, outcome: "error" }), RECORD, RECORD];
    const summary = goodput(records, { ttft: 100 }, { startMs: 0, endMs: 2000 });
    assert.deepEqual([summary.requestsPerSecond, summary.attainment], [1.5, 0.75]);
  });
});

describe("windows", () => {
  const records = [
    recordOf({ chunkMs: [500, 1500] }),
    recordOf({ scheduledMs: 2000, chunkMs: [2500, 3500] }),
  ];

  it("end with the last event, or with the time of sending", () => {
    assert.deepEqual(windowOf(records, { warmupMs: 1000, cooldownMs: 0, durationMs: null }), {
      startMs: 1000,
      endMs: 3500,
    });
    assert.deepEqual(windowOf(records, { warmupMs: 1000, cooldownMs: 500, durationMs: 3000 }), {
      startMs: 1000,
      endMs: 2500,
    });
  });

  it("count tokens and completions by when they happened", () => {
    const rates = throughput(records, { startMs: 1000, endMs: 3000 });
    // Tokens at 1500 and 2500, one request done at 1500, one prompt of 10 tokens done at 2500.
    assert.equal(rates.outputTokensPerSecond, 1);
    assert.equal(rates.requestsPerSecond, 0.5);
    assert.equal(rates.inputTokensPerSecond, 5);
    // In flight for 500 ms and for 1000 ms of 2000.
    assert.equal(rates.meanConcurrency, 0.75);
  });

  it("put warm-up, failures, cancellations and slow readers aside", () => {
    const run = [
      recordOf({ scheduledMs: 0, chunkMs: [900], endMs: 900 }),
      recordOf({ scheduledMs: 1000, chunkMs: [1010], endMs: 1010 }),
      recordOf({ scheduledMs: 1100, endMs: 1200, outcome: "error", errorKind: "http_503" }),
      recordOf({ scheduledMs: 1200, chunkMs: [1300], endMs: 1400, outcome: "cancelled" }),
      recordOf({ scheduledMs: 1300, chunkMs: [1900], endMs: 1900, slowReader: true }),
    ];
    const summary = summarizeRun(
      { records: run, usage: [{ cpuMs: 500, wallMs: 2000, loopDelayP99Ms: 1 }] },
      { warmupMs: 1000, cooldownMs: 0, durationMs: 2000 },
      { ttft: 50 },
    );
    const { sent, due, completed, failed, cancelled, slowReaders } = summary.counts;
    assert.deepEqual(
      { sent, due, completed, failed, cancelled, slowReaders },
      { sent: 5, due: 4, completed: 1, failed: 1, cancelled: 1, slowReaders: 1 },
    );
    assert.equal(summary.latency.ttft?.count, 1);
    assert.equal(summary.latency.ttft?.max, 10);
    assert.equal(summary.goodput?.attainment, 0.5);
    assert.deepEqual(summary.errors, { http_503: 1 });
    assert.equal(summary.client.cpuCores, 0.25);
  });
});

describe("concurrency", () => {
  it("counts requests between sending and end; an end frees its place first", () => {
    const spans = [
      [0, 10],
      [5, 15],
      [10, 20],
      [15, 25],
    ] as const;
    assert.equal(peakConcurrency(spans.map(([sentMs, endMs]) => recordOf({ sentMs, endMs }))), 2);
  });
});

describe("fairness", () => {
  it("is Jain's index", () => {
    assert.equal(jainIndex([3, 3, 3]), 1);
    assert.equal(jainIndex([1, 0, 0, 0]), 0.25);
    assert.equal(jainIndex([]), 1);
  });

  it("compares tenants, and is null without any", () => {
    const window = { startMs: 0, endMs: 1000 };
    const record = (tenant: string, chunkMs: number[]) => recordOf({ tenant, chunkMs });
    const summary = fairness([record("a", [10, 20, 30]), record("b", [90])], window);
    assert.deepEqual(
      summary?.tenants.map(({ tenant, outputTokensPerSecond }) => [tenant, outputTokensPerSecond]),
      [
        ["a", 3],
        ["b", 1],
      ],
    );
    assert.equal(summary?.jainOfThroughput, 0.8);
    assert.equal(fairness([RECORD], window), null);
  });
});

describe("stalls", () => {
  it("separate the gaps beside an intruder's prefill from the others", () => {
    const resident = recordOf({ label: "resident", chunkMs: [0, 10, 20, 320, 330, 340] });
    const intruder = recordOf({ label: "intruder", sentMs: 25, chunkMs: [315, 325] });
    const summary = stalls([resident, intruder]);
    assert.equal(summary.duringIntruders?.count, 1);
    assert.equal(summary.duringIntruders?.max, 300);
    assert.equal(summary.outsideIntruders?.max, 10);
    assert.equal(summary.longestPerRequest?.max, 300);
    assert.equal(summary.shareOfLongGaps, 1 / 6);
  });
});

describe("time series", () => {
  it("put tokens and latencies where they happened", () => {
    const series = timeSeries([recordOf({ chunkMs: [50, 150, 950], endMs: 1000 })]);
    assert.equal(series.sliceSeconds, 0.1);
    assert.equal(series.outputTokensPerSecond[0], 10);
    assert.equal(series.outputTokensPerSecond[1], 10);
    assert.equal(series.outputTokensPerSecond[2], 0);
    assert.equal(series.ttftP50[0], 50);
    assert.equal(series.itlP50[9], 800);
    assert.equal(series.inFlight[5], 1);
  });
});
