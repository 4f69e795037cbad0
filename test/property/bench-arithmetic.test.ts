import assert from "node:assert/strict";
import { describe, it } from "node:test";

import fc from "fast-check";

import { arrivalTimes } from "../../bench/load/arrival-schedule.ts";
import { timeOfExpectedCount, type LoadShape } from "../../bench/load/load-shape.ts";
import { Semaphore } from "../../bench/load/semaphore.ts";
import { SseSplitter } from "../../bench/load/sse-splitter.ts";
import { bootstrapMean, bootstrapPercentiles, percentileOfSorted } from "../../bench/measure/bootstrap.ts";
import { distributionOf } from "../../bench/measure/distribution.ts";
import { jainIndex } from "../../bench/measure/fairness.ts";
import { interTokenGaps } from "../../bench/measure/request-metrics.ts";
import { mergeIntervals, overlapsAny } from "../../bench/measure/stalls.ts";
import { peakConcurrency, throughput } from "../../bench/measure/throughput.ts";
import { timeSeries } from "../../bench/measure/time-series.ts";
import { gamma, seededRandom } from "../../bench/seeded-random.ts";
import { recordOf } from "../support/simulated-load.ts";

const milliseconds = fc.double({ min: 0.01, max: 1e5, noNaN: true });
const percents = [50, 90, 95, 99, 99.9] as const;

/** A record of a stream: scheduled time, then waits and gaps, chunks of 1 to 4 tokens. */
const stream = fc
  .record({
    scheduledMs: fc.double({ min: 0, max: 5000, noNaN: true }),
    lagMs: fc.double({ min: 0, max: 100, noNaN: true }),
    gaps: fc.array(fc.double({ min: 0, max: 500, noNaN: true }), { minLength: 1, maxLength: 20 }),
    numTokens: fc.integer({ min: 1, max: 4 }),
  })
  .map(({ scheduledMs, lagMs, gaps, numTokens }) => {
    let atMs = scheduledMs + lagMs;
    const sentMs = atMs;
    const chunkMs = gaps.map((gapMs) => (atMs += gapMs));
    const chunkTokens = chunkMs.map(() => numTokens);
    return recordOf({
      scheduledMs,
      sentMs,
      chunkMs,
      chunkTokens,
      endMs: atMs,
      outputTokens: chunkMs.length * numTokens,
    });
  });

describe("distributions", () => {
  it("have percentiles within 0.2 % of the sorted values, and exact extremes and mean", () => {
    fc.assert(
      fc.property(fc.array(milliseconds, { minLength: 1, maxLength: 300 }), (values) => {
        const sorted = [...values].sort((a, b) => a - b);
        const summary = distributionOf(values).summary();
        assert.ok(summary);
        for (const percent of percents) {
          const exact = percentileOfSorted(sorted, percent);
          const found = summary[`p${percent}`];
          assert.ok(Math.abs(found - exact) <= exact * 0.002 + 0.001, `p${percent}: ${found} for ${exact}`);
        }
        assert.equal(summary.max, sorted.at(-1));
        assert.equal(summary.min, sorted[0]);
        const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
        assert.ok(Math.abs(summary.mean - mean) <= mean * 1e-9);
      }),
    );
  });
});

describe("inter-token gaps", () => {
  it("add up to the time between first and last chunk, one a token after the first chunk", () => {
    fc.assert(
      fc.property(stream, (record) => {
        const gaps = interTokenGaps(record);
        const total = gaps.reduce((sum, gapMs) => sum + gapMs, 0);
        const span = (record.chunkMs.at(-1) as number) - (record.chunkMs[0] as number);
        assert.ok(Math.abs(total - span) < 1e-6);
        assert.equal(gaps.length, record.outputTokens - (record.chunkTokens[0] as number));
      }),
    );
  });
});

describe("throughput", () => {
  it("of adjoining windows adds up, and the series agrees with the total", () => {
    fc.assert(
      fc.property(fc.array(stream, { minLength: 1, maxLength: 10 }), (records) => {
        const tokens = records.reduce((sum, record) => sum + record.outputTokens, 0);
        const endMs = 20_000;
        const whole = throughput(records, { startMs: 0, endMs });
        assert.ok(Math.abs(whole.outputTokensPerSecond * 20 - tokens) < 1e-6);
        const series = timeSeries(records);
        const inSeries = series.outputTokensPerSecond.reduce(
          (sum, rate) => sum + rate * series.sliceSeconds,
          0,
        );
        assert.ok(Math.abs(inSeries - tokens) < 1e-6);
        assert.ok(whole.meanConcurrency <= peakConcurrency(records) + 1e-9);
        assert.ok(peakConcurrency(records) <= records.length);
      }),
    );
  });
});

describe("Jain's index", () => {
  it("lies between 1/n and 1 and ignores scale", () => {
    const values = fc.array(fc.double({ min: 0.01, max: 1000, noNaN: true }), {
      minLength: 1,
      maxLength: 20,
    });
    fc.assert(
      fc.property(values, fc.double({ min: 0.1, max: 10, noNaN: true }), (shares, scale) => {
        const index = jainIndex(shares);
        assert.ok(index >= 1 / shares.length - 1e-9 && index <= 1 + 1e-9);
        assert.ok(Math.abs(index - jainIndex(shares.map((share) => share * scale))) < 1e-9);
      }),
    );
  });
});

describe("interval overlap", () => {
  it("agrees with checking every interval", () => {
    const interval = fc
      .tuple(fc.integer({ min: 0, max: 100 }), fc.integer({ min: 1, max: 20 }))
      .map(([start, length]) => [start, start + length] as const);
    fc.assert(
      fc.property(fc.array(interval, { maxLength: 12 }), interval, (intervals, asked) => {
        const expected = intervals.some(([start, end]) => start < asked[1] && end > asked[0]);
        assert.equal(overlapsAny(mergeIntervals(intervals), asked), expected);
      }),
    );
  });
});

describe("the bootstrap", () => {
  const options = (seed: number) => ({ numResamples: 100, random: seededRandom(seed) });

  it("gives intervals of values that occurred, in order, and a point for equal clusters", () => {
    const clusters = fc.array(fc.array(milliseconds, { minLength: 1, maxLength: 8 }), {
      minLength: 2,
      maxLength: 12,
    });
    fc.assert(
      fc.property(clusters, fc.nat(), (groups, seed) => {
        const found = bootstrapPercentiles(groups, [50, 99], options(seed));
        const values = new Set(groups.flat());
        for (const [low, high] of found ?? []) assert.ok(low <= high && values.has(low) && values.has(high));
        const same = bootstrapPercentiles([[7], [7], [7]], [50], options(seed));
        assert.deepEqual(same, [[7, 7]]);
      }),
      { numRuns: 50 },
    );
  });

  it("covers the mean of a known distribution about 95 % of the time", () => {
    let covered = 0;
    for (let trial = 0; trial < 200; trial++) {
      const random = seededRandom(trial);
      const values = Array.from({ length: 40 }, () => random());
      const [low, high] = bootstrapMean(values, { numResamples: 400, random }) ?? [0, 0];
      if (low <= 0.5 && high >= 0.5) covered++;
    }
    assert.ok(covered >= 176 && covered <= 200, `${covered} of 200`);
  });
});

describe("arrivals", () => {
  const shapes: LoadShape[] = [
    { kind: "steady", rate: 20 },
    { kind: "ramp", fromRate: 5, toRate: 50, seconds: 30 },
    { kind: "ramp", fromRate: 50, toRate: 5, seconds: 30 },
    { kind: "stairs", rates: [5, 20, 10], stepSeconds: 10 },
    { kind: "burst", size: 4, everySeconds: 2 },
  ];

  it("ascend, repeat with the seed, and come at the expected count", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...shapes),
        fc.constantFrom(0.25, 1, 4, Infinity),
        fc.nat(),
        (shape, burstiness, seed) => {
          const draw = (): number[] => {
            const times: number[] = [];
            for (const atMs of arrivalTimes(shape, burstiness, seededRandom(seed))) {
              times.push(atMs);
              if (times.length === 200) return times;
            }
            return times;
          };
          const times = draw();
          assert.deepEqual(times, draw());
          times.slice(1).forEach((atMs, index) => assert.ok(atMs >= (times[index] as number)));
        },
      ),
    );
  });

  it("are the inverse of the integrated rate", () => {
    const steady = shapes.filter((shape) => shape.kind !== "burst");
    const rateAt = (shape: (typeof steady)[number], seconds: number): number => {
      if (shape.kind === "steady") return shape.rate;
      if (shape.kind === "stairs")
        return shape.rates[
          Math.min(shape.rates.length - 1, Math.floor(seconds / shape.stepSeconds))
        ] as number;
      const share = Math.min(1, seconds / shape.seconds);
      return shape.fromRate + (shape.toRate - shape.fromRate) * share;
    };
    for (const shape of steady) {
      let integral = 0;
      for (let i = 0; i < 6000; i++) integral += rateAt(shape, (i + 0.5) / 100) / 100;
      assert.ok(Math.abs(timeOfExpectedCount(shape, integral) - 60) < 0.01, shape.kind);
    }
  });

  it("have gamma gaps with the mean and variance of their burstiness", () => {
    for (const shape of [0.25, 1, 4]) {
      const random = seededRandom(7);
      const gaps = Array.from({ length: 20_000 }, () => gamma(random, shape) / shape);
      const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
      const variance = gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length;
      assert.ok(Math.abs(mean - 1) < 0.06, `mean ${mean}`);
      assert.ok(Math.abs(variance * shape - 1) < 0.1, `variance ${variance}`);
    }
  });
});

describe("the SSE splitter", () => {
  it("gives the same payloads wherever the bytes are cut", () => {
    const payload = fc
      .string({ unit: fc.constantFrom("a", "é", "data:", '"', " ", "\\n"), maxLength: 12 })
      .map((text) => `x${text}x`);
    const event = fc.tuple(payload, fc.constantFrom("\n\n", "\r\n\r\n"), fc.boolean());
    fc.assert(
      fc.property(
        fc.array(event, { maxLength: 8 }),
        fc.array(fc.nat(), { maxLength: 10 }),
        (events, cuts) => {
          const bytes = Buffer.from(
            events
              .map(
                ([text, end, named]) =>
                  `${named ? `event: e${end.slice(0, end.length / 2)}` : ""}data: ${text}${end}`,
              )
              .join(""),
          );
          const places = [...cuts.map((cut) => cut % (bytes.length + 1)), 0, bytes.length].sort(
            (a, b) => a - b,
          );
          const splitter = new SseSplitter();
          const found: string[] = [];
          places
            .slice(1)
            .forEach((end, index) =>
              splitter.feed(bytes.subarray(places[index], end), (each) => found.push(each.toString())),
            );
          assert.deepEqual(
            found,
            events.map(([text]) => text),
          );
        },
      ),
    );
  });
});

describe("the semaphore", () => {
  it("never lets more in than it has places, and lets everyone in", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 0, max: 30 }),
        async (places, numTasks) => {
          const semaphore = new Semaphore(places);
          let inside = 0;
          let done = 0;
          const task = async (): Promise<void> => {
            await (semaphore.acquire() ?? undefined);
            inside++;
            assert.ok(inside <= places);
            await Promise.resolve();
            inside--;
            done++;
            semaphore.release();
          };
          await Promise.all(Array.from({ length: numTasks }, task));
          assert.equal(done, numTasks);
        },
      ),
    );
  });
});
