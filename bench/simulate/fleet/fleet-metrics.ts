import { Distribution, type DistributionSummary } from "../../measure/distribution.ts";
import type { Slo } from "../../measure/slo.ts";
import type { SimRequest } from "../sim-request.ts";
import { meets } from "../simulation-metrics.ts";

export interface FleetSummary {
  readonly numRequests: number;
  readonly durationMs: number;
  readonly ttft: DistributionSummary | null;
  readonly itl: DistributionSummary | null;
  readonly e2el: DistributionSummary | null;
  readonly goodput: { readonly slo: Slo; readonly attainment: number; readonly requestsPerSecond: number };
  readonly cacheHitShare: number;
  /** Share of the time in which each replica works. */
  readonly busyShares: readonly number[];
}

/** Collects what a fleet, or a single coarse replica, did. Limits on stalls are not checked: there are no single gaps. */
export class FleetMetrics {
  readonly #slo: Slo;
  readonly #ttft = new Distribution();
  readonly #itl = new Distribution();
  readonly #e2el = new Distribution();
  #numGood = 0;
  #promptTokens = 0;
  #cachedTokens = 0;
  /** Gaps come as fractions; what is not a whole one yet waits here. */
  #restOfGaps = 0;

  constructor(slo: Slo) {
    this.#slo = slo;
  }

  started({ numPromptTokens }: SimRequest, numCachedTokens: number): void {
    this.#promptTokens += numPromptTokens;
    this.#cachedTokens += numCachedTokens;
  }

  gaps(gapMs: number, count: number): void {
    this.#restOfGaps += count;
    const whole = Math.floor(this.#restOfGaps);
    if (whole === 0) return;
    this.#itl.add(gapMs, whole);
    this.#restOfGaps -= whole;
  }

  finished({ atMs, numOutputTokens }: SimRequest, firstTokenMs: number, nowMs: number): void {
    const ttft = firstTokenMs - atMs;
    const e2el = nowMs - atMs;
    const tpot = numOutputTokens > 1 ? (nowMs - firstTokenMs) / (numOutputTokens - 1) : 0;
    this.#ttft.add(ttft);
    this.#e2el.add(e2el);
    if (meets(this.#slo, { ttft, tpot, itl: tpot, e2el, stall: 0 })) this.#numGood += 1;
  }

  summary(durationMs: number, busyMs: readonly number[]): FleetSummary {
    const numRequests = this.#ttft.count;
    return {
      numRequests,
      durationMs,
      ttft: this.#ttft.summary(),
      itl: this.#itl.summary(),
      e2el: this.#e2el.summary(),
      goodput: {
        slo: this.#slo,
        attainment: numRequests === 0 ? 0 : this.#numGood / numRequests,
        requestsPerSecond: durationMs === 0 ? 0 : (this.#numGood / durationMs) * 1_000,
      },
      cacheHitShare: this.#promptTokens === 0 ? 0 : this.#cachedTokens / this.#promptTokens,
      busyShares: busyMs.map((ms) => (durationMs === 0 ? 0 : ms / durationMs)),
    };
  }
}
