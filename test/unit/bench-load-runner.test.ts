import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { arrivalTimes } from "../../bench/load/arrival-schedule.ts";
import type { LoadOptions } from "../../bench/load/load-options.ts";
import { LoadRunner, numberSessions } from "../../bench/load/load-runner.ts";
import type { PlannedRequest, RequestRecord, Session } from "../../bench/load/request.ts";
import { distributionOf } from "../../bench/measure/distribution.ts";
import { requestMetrics } from "../../bench/measure/request-metrics.ts";
import { seededRandom } from "../../bench/seeded-random.ts";
import { SimulatedSender, VirtualClock, type SimulatedServerOptions } from "../support/simulated-load.ts";

const DEFAULTS: LoadOptions = {
  shape: null,
  burstiness: 1,
  concurrency: null,
  maxRequests: null,
  durationMs: null,
  rampUpMs: 0,
  drainMs: 60_000,
  cancelShare: 0,
  slowShare: 0,
  slowReadMs: 1,
  keepText: false,
  seed: 1,
};

function request(maxTokens: number): PlannedRequest {
  return { segments: [], messages: null, maxTokens, label: "all", tenant: null, schema: null };
}

function* endless(maxTokens: number, turns = 1): Generator<Session> {
  for (;;) yield { atMs: null, turns: Array.from({ length: turns }, () => request(maxTokens)), thinkMs: 500 };
}

interface Simulation {
  load: Partial<LoadOptions>;
  server: SimulatedServerOptions;
  sessions?: Iterable<Session>;
  rate?: number;
  worker?: { index: number; count: number };
}

async function simulate({ load, server, sessions, rate, worker }: Simulation) {
  const clock = new VirtualClock();
  const sender = new SimulatedSender(clock, server);
  const records: RequestRecord[] = [];
  const runner = new LoadRunner({
    load: { ...DEFAULTS, ...load },
    sessions: sessions ?? endless(1),
    arrivals: rate === undefined ? null : arrivalTimes({ kind: "steady", rate }, Infinity, seededRandom(1)),
    worker: worker ?? { index: 0, count: 1 },
    clock,
    sender,
    onSend: () => {},
    onRecord: (record) => records.push(record),
  });
  await clock.run(runner.run());
  return { records, sender, clock };
}

const percentile = (values: number[], percent: number): number => distributionOf(values).percentile(percent);
const ttfts = (records: readonly RequestRecord[]): number[] =>
  records.map((record) => requestMetrics(record).ttftMs as number);

describe("a server that stalls for 1 s in 10 s at 100 requests/s", () => {
  const server = { ttftMs: 10, itlMs: 1, stallAtMs: 4000, stallMs: 1000 };

  it("shows a p99 near 1 s in an open loop", async () => {
    const { records } = await simulate({ load: { durationMs: 10_000 }, server, rate: 100 });
    assert.equal(records.length, 999);
    const p99 = percentile(ttfts(records), 99);
    assert.ok(p99 > 880 && p99 <= 1010, `p99 ${p99} ms`);
    assert.equal(Math.round(percentile(ttfts(records), 50)), 10);
  });

  it("shows it from the scheduled time even when a cap on requests in flight hides it from the send time", async () => {
    const load = { durationMs: 10_000, concurrency: 2 };
    const { records } = await simulate({ load, server, rate: 100 });
    const fromSent = records.map((record) => requestMetrics(record).ttftSentMs as number);
    assert.equal(Math.round(percentile(fromSent, 99)), 10);
    assert.ok(percentile(ttfts(records), 99) > 900);
    // The wait for a place is not the client's own lag.
    assert.ok(
      records.every(({ sentMs, scheduledMs, slotWaitMs }) => sentMs - scheduledMs - slotWaitMs === 0),
    );
  });

  it("is nearly invisible to a closed loop, which is why reports of one say so", async () => {
    const { records } = await simulate({ load: { durationMs: 10_000, concurrency: 1 }, server });
    assert.equal(Math.round(percentile(ttfts(records), 99)), 10);
  });
});

describe("the closed loop", () => {
  it("keeps exactly its number of clients busy", async () => {
    const { records, clock } = await simulate({
      load: { concurrency: 4, maxRequests: 40 },
      server: { ttftMs: 100, itlMs: 10 },
      sessions: endless(11),
    });
    assert.equal(records.length, 40);
    assert.equal(clock.now(), 10 * 200);
  });

  it("spreads the first requests over the ramp-up", async () => {
    const load = { concurrency: 4, maxRequests: 4, rampUpMs: 1000 };
    const { sender } = await simulate({ load, server: { ttftMs: 10_000, itlMs: 1 } });
    assert.deepEqual(
      sender.sent.map(({ scheduledMs }) => scheduledMs),
      [0, 250, 500, 750],
    );
  });

  it("stops sending at the end of its duration but waits for what runs", async () => {
    const load = { concurrency: 1, durationMs: 1000 };
    const { records } = await simulate({ load, server: { ttftMs: 300, itlMs: 1 } });
    assert.deepEqual(
      records.map(({ endMs }) => endMs),
      [300, 600, 900, 1200],
    );
  });

  it("breaks off what still runs after the drain time and counts it as an error", async () => {
    const load = { concurrency: 1, durationMs: 1000, drainMs: 500 };
    const { records } = await simulate({ load, server: { ttftMs: 5000, itlMs: 1 } });
    assert.deepEqual(
      records.map(({ errorKind }) => errorKind),
      ["unfinished"],
    );
  });
});

describe("conversations", () => {
  it("send earlier turns with the replies, after the pause", async () => {
    const load = { concurrency: 1, maxRequests: 3 };
    const { sender } = await simulate({ load, server: { ttftMs: 100, itlMs: 1 }, sessions: endless(1, 3) });
    assert.deepEqual(
      sender.sent.map(({ turn, history, scheduledMs }) => [turn, history.length, scheduledMs]),
      [
        [0, 0, 0],
        [1, 2, 600],
        [2, 4, 1200],
      ],
    );
    assert.deepEqual(sender.sent[1]?.history, [
      { role: "user", content: "question" },
      { role: "assistant", content: "answer" },
    ]);
  });

  it("are cut where the number of requests is reached", () => {
    const numbered = [...numberSessions(endless(1, 3), 7)];
    assert.deepEqual(
      numbered.map(({ firstRequestIndex, session }) => [firstRequestIndex, session.turns.length]),
      [
        [0, 3],
        [3, 3],
        [6, 1],
      ],
    );
  });
});

describe("several workers", () => {
  it("split the load without gap or overlap, at the same times as one", async () => {
    const server = { ttftMs: 10, itlMs: 1 };
    const load = { maxRequests: 30 };
    const alone = await simulate({ load, server, rate: 50 });
    const parts = await Promise.all(
      [0, 1, 2].map((index) => simulate({ load, server, rate: 50, worker: { index, count: 3 } })),
    );
    const together = parts.flatMap(({ sender }) => sender.sent).sort((a, b) => a.index - b.index);
    const times = (sent: readonly { index: number; scheduledMs: number }[]) =>
      sent.map(({ index, scheduledMs }) => [index, scheduledMs]);
    assert.deepEqual(times(together), times(alone.sender.sent));
  });
});

describe("client behaviour", () => {
  it("draws cancellations and slow readers by request, whoever sends it", async () => {
    const load = { maxRequests: 200, cancelShare: 0.3, slowShare: 0.1 };
    const server = { ttftMs: 1, itlMs: 1 };
    const { sender } = await simulate({ load, server, rate: 1000, sessions: endless(20) });
    const cancels = sender.sent.filter(({ cancelAfterTokens }) => cancelAfterTokens !== null);
    assert.ok(cancels.length > 40 && cancels.length < 80, `${cancels.length} cancellations`);
    assert.ok(cancels.every(({ cancelAfterTokens }) => (cancelAfterTokens as number) < 20));
    const again = await simulate({ load, server, rate: 10, sessions: endless(20) });
    assert.deepEqual(
      again.sender.sent.map(({ cancelAfterTokens, slowReader }) => [cancelAfterTokens, slowReader]),
      sender.sent.map(({ cancelAfterTokens, slowReader }) => [cancelAfterTokens, slowReader]),
    );
  });
});
