import type { Sample } from "../../scheduler/contracts.ts";
import { Distribution, type DistributionSummary } from "../measure/distribution.ts";
import { SLO_METRICS, type Slo, type SloMetric } from "../measure/slo.ts";
import { FairnessMeter } from "./fairness-meter.ts";
import type { SimRequest } from "./sim-request.ts";

/** A request that is not finished yet. */
export interface LiveRequest {
  readonly request: SimRequest;
  /** The same for each token: nothing depends on what is generated. */
  readonly sample: Sample;
  /** Tokens [0, here) have been computed at least once, or were cached. */
  numKnownTokens: number;
  numCachedTokens: number;
  isScheduled: boolean;
  numOutputTokens: number;
  firstTokenMs: number;
  lastTokenMs: number;
  longestGapMs: number;
}

/** Latencies of one class of requests: of a tenant, of a label, or of all. */
export interface GroupSummary {
  readonly name: string;
  readonly numRequests: number;
  readonly ttft: DistributionSummary | null;
  readonly stall: DistributionSummary | null;
}

export interface SimulationSummary {
  readonly numRequests: number;
  readonly durationMs: number;
  readonly outputTokensPerSecond: number;
  /** Milliseconds; ITL is pooled over all gaps, `stall` is each request's longest. */
  readonly ttft: DistributionSummary | null;
  readonly itl: DistributionSummary | null;
  readonly e2el: DistributionSummary | null;
  readonly stall: DistributionSummary | null;
  /** Share of the requests that met all limits of the SLO, and how many a second did. */
  readonly goodput: { readonly slo: Slo; readonly attainment: number; readonly requestsPerSecond: number };
  /** Share of the requests that met the SLO and never waited longer than `freezeMs` between two tokens. */
  readonly smooth: { readonly freezeMs: number; readonly attainment: number };
  readonly jainFairness: number | null;
  readonly groups: readonly GroupSummary[];
  /** Requests that have come and not begun: mean over time and most. */
  readonly queue: { readonly mean: number; readonly max: number };
  readonly cacheHitShare: number;
  readonly numPreemptions: number;
  /** Share of the time in which a call runs, and rows of a call that decodes. */
  readonly busyShare: number;
  readonly meanDecodeRows: number;
}

const FAIRNESS_WINDOW_MS = 10_000;

/** Collects what one simulated run did. Adds up as it goes: a million tokens leave a few histograms. */
export class SimulationMetrics {
  readonly #slo: Slo;
  readonly #freezeMs: number;
  readonly #ttft = new Distribution();
  readonly #itl = new Distribution();
  readonly #e2el = new Distribution();
  readonly #stall = new Distribution();
  readonly #groups = new Map<string, { ttft: Distribution; stall: Distribution; numRequests: number }>();
  readonly #fairness = new FairnessMeter(FAIRNESS_WINDOW_MS);
  readonly #counters = {
    requests: 0,
    good: 0,
    smooth: 0,
    outputTokens: 0,
    promptTokens: 0,
    cachedTokens: 0,
    preemptions: 0,
    decodeCalls: 0,
    decodeRows: 0,
    maxQueue: 0,
    busyMs: 0,
    queueTime: 0,
  };
  #numQueued = 0;
  #nowMs = 0;
  #startMs: number | null = null;
  /** Rows that decode together see the same gap: they are entered as one. */
  #run = { gapMs: -1, count: 0 };

  constructor(slo: Slo, freezeMs: number) {
    this.#slo = slo;
    this.#freezeMs = freezeMs;
  }

  arrived({ request }: LiveRequest): void {
    this.#startMs ??= request.atMs;
    this.#counters.requests += 1;
    this.#fairness.ask(request.tenant, request.numPromptTokens + request.numOutputTokens - 1);
    this.#moveClock(Math.max(this.#nowMs, request.atMs));
    this.#numQueued += 1;
    this.#counters.maxQueue = Math.max(this.#counters.maxQueue, this.#numQueued);
  }

  scheduled(live: LiveRequest, numCachedTokens: number): void {
    this.#leaveQueue(live);
    live.numCachedTokens = numCachedTokens;
    this.#counters.promptTokens += live.request.numPromptTokens;
    this.#counters.cachedTokens += numCachedTokens;
  }

  /** Tokens up to `end` of a request are computed, those before `start` were before. */
  computed(live: LiveRequest, start: number, end: number): void {
    const { tenant } = live.request;
    if (start > live.numKnownTokens) {
      this.#fairness.waive(tenant, start - live.numKnownTokens);
      live.numKnownTokens = start;
    }
    if (end <= live.numKnownTokens) return;
    this.#fairness.serve(tenant, end - live.numKnownTokens);
    live.numKnownTokens = end;
  }

  called(durationMs: number, nowMs: number, numDecodeRows: number): void {
    this.#counters.busyMs += durationMs;
    this.#moveClock(nowMs);
    this.#fairness.advance(nowMs);
    if (numDecodeRows === 0) return;
    this.#counters.decodeCalls += 1;
    this.#counters.decodeRows += numDecodeRows;
  }

  token(live: LiveRequest, nowMs: number): void {
    live.numOutputTokens += 1;
    this.#counters.outputTokens += 1;
    if (live.numOutputTokens === 1) {
      live.firstTokenMs = nowMs;
      this.#ttft.add(nowMs - live.request.atMs);
    } else {
      const gapMs = nowMs - live.lastTokenMs;
      if (gapMs > live.longestGapMs) live.longestGapMs = gapMs;
      this.#addGap(gapMs);
    }
    live.lastTokenMs = nowMs;
  }

  preempted(): void {
    this.#counters.preemptions += 1;
  }

  finished(live: LiveRequest, nowMs: number): void {
    const { request, firstTokenMs, longestGapMs, numOutputTokens } = live;
    const ttft = firstTokenMs - request.atMs;
    const e2el = nowMs - request.atMs;
    const tpot = numOutputTokens > 1 ? (nowMs - firstTokenMs) / (numOutputTokens - 1) : 0;
    this.#e2el.add(e2el);
    if (numOutputTokens > 1) this.#stall.add(longestGapMs);
    this.#addToGroup(request.tenant === "" ? request.label : request.tenant, live, ttft);
    if (!meets(this.#slo, { ttft, tpot, itl: tpot, e2el, stall: longestGapMs })) return;
    this.#counters.good += 1;
    if (longestGapMs <= this.#freezeMs) this.#counters.smooth += 1;
  }

  summary(): SimulationSummary {
    this.#flushGaps();
    const { requests, good, smooth, outputTokens, promptTokens, cachedTokens, busyMs } = this.#counters;
    const durationMs = this.#nowMs - (this.#startMs ?? 0);
    const { decodeCalls, decodeRows, maxQueue, queueTime, preemptions } = this.#counters;
    const perSecond = (count: number): number => (durationMs === 0 ? 0 : (count / durationMs) * 1_000);
    return {
      numRequests: requests,
      durationMs,
      outputTokensPerSecond: perSecond(outputTokens),
      ttft: this.#ttft.summary(),
      itl: this.#itl.summary(),
      e2el: this.#e2el.summary(),
      stall: this.#stall.summary(),
      goodput: { slo: this.#slo, attainment: share(good, requests), requestsPerSecond: perSecond(good) },
      smooth: { freezeMs: this.#freezeMs, attainment: share(smooth, requests) },
      jainFairness: this.#fairness.jain(),
      groups: this.#groupSummaries(),
      queue: { mean: share(queueTime, durationMs), max: maxQueue },
      cacheHitShare: share(cachedTokens, promptTokens),
      numPreemptions: preemptions,
      busyShare: share(busyMs, durationMs),
      meanDecodeRows: share(decodeRows, decodeCalls),
    };
  }

  #leaveQueue(live: LiveRequest): void {
    live.isScheduled = true;
    this.#numQueued -= 1;
  }

  #moveClock(nowMs: number): void {
    if (nowMs <= this.#nowMs) return;
    this.#counters.queueTime += this.#numQueued * (nowMs - Math.max(this.#nowMs, this.#startMs ?? 0));
    this.#nowMs = nowMs;
  }

  #addGap(gapMs: number): void {
    if (gapMs !== this.#run.gapMs) {
      this.#flushGaps();
      this.#run.gapMs = gapMs;
    }
    this.#run.count += 1;
  }

  #flushGaps(): void {
    if (this.#run.count > 0) this.#itl.add(this.#run.gapMs, this.#run.count);
    this.#run.count = 0;
  }

  #addToGroup(name: string, { longestGapMs, numOutputTokens }: LiveRequest, ttftMs: number): void {
    let group = this.#groups.get(name);
    if (group === undefined) {
      group = { ttft: new Distribution(), stall: new Distribution(), numRequests: 0 };
      this.#groups.set(name, group);
    }
    group.numRequests += 1;
    group.ttft.add(ttftMs);
    if (numOutputTokens > 1) group.stall.add(longestGapMs);
  }

  /** In the order of their names; none when there is but one. */
  #groupSummaries(): GroupSummary[] {
    if (this.#groups.size < 2) return [];
    return [...this.#groups]
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([name, { ttft, stall, numRequests }]) => ({
        name,
        numRequests,
        ttft: ttft.summary(),
        stall: stall.summary(),
      }));
  }
}

function share(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}

export function meets(slo: Slo, values: Readonly<Record<SloMetric, number>>): boolean {
  return SLO_METRICS.every((metric) => values[metric] <= (slo[metric] ?? Infinity));
}
