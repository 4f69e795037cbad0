import type { RequestRecord } from "../load/request.ts";
import type { RequestMetrics } from "./request-metrics.ts";

import { requestMetrics } from "./request-metrics.ts";
import { windowSeconds, type Window } from "./window.ts";

/** Limits in ms that a request must meet, all of them, to count as good. */
export type Slo = Partial<Record<SloMetric, number>>;

export const SLO_METRICS = ["ttft", "tpot", "itl", "e2el", "stall"] as const;
export type SloMetric = (typeof SLO_METRICS)[number];

/** The server scenarios of MLPerf Inference: TTFT and TPOT in ms. */
export const SLO_PRESETS: Readonly<Record<string, Slo>> = {
  "mlperf-llama3.1-8b": { ttft: 2000, tpot: 100 },
  "mlperf-llama3.1-8b-interactive": { ttft: 500, tpot: 30 },
  "mlperf-llama2-70b": { ttft: 2000, tpot: 200 },
  "mlperf-llama2-70b-interactive": { ttft: 450, tpot: 40 },
  "mlperf-llama3.1-405b": { ttft: 6000, tpot: 175 },
  "mlperf-llama3.1-405b-interactive": { ttft: 4500, tpot: 80 },
  "mlperf-mixtral-8x7b": { ttft: 2000, tpot: 200 },
  "mlperf-deepseek-r1": { ttft: 2000, tpot: 80 },
  "mlperf-deepseek-r1-interactive": { ttft: 1500, tpot: 15 },
  "mlperf-gptj": { e2el: 20_000 },
};

export const SLO_HELP =
  "'ttft=500,itl=50' in ms (ttft, tpot, itl = mean gap of the request, e2el, stall = its longest gap), or a preset: " +
  Object.keys(SLO_PRESETS).join(", ");

export function parseSlo(text: string): Slo {
  const preset = SLO_PRESETS[text];
  if (preset !== undefined) return preset;
  const slo: Slo = {};
  for (const part of text.split(",")) {
    const [metric = "", limit = ""] = part.split("=").map((each) => each.trim());
    const known = SLO_METRICS.find((each) => each === metric);
    if (known === undefined || !(Number(limit) > 0))
      throw new RangeError(`not an SLO: '${part}', expected ${SLO_HELP}`);
    slo[known] = Number(limit);
  }
  return slo;
}

/**
 * Whether the request met every limit. A failed request meets none. A limit on tokens' pace does not
 * apply to a request that has no second token (vLLM's convention: its TPOT is 0).
 */
export function meetsSlo(record: RequestRecord, slo: Slo): boolean {
  if (record.outcome !== "ok") return false;
  const values = sloValues(requestMetrics(record));
  return SLO_METRICS.every((metric) => slo[metric] === undefined || (values[metric] ?? 0) <= slo[metric]);
}

/** A request's mean gap between tokens is its TPOT; an ITL limit per request means the same. */
function sloValues(metrics: RequestMetrics): Record<SloMetric, number | null> {
  return {
    ttft: metrics.ttftMs,
    tpot: metrics.tpotMs,
    itl: metrics.tpotMs,
    e2el: metrics.e2elMs,
    stall: metrics.stallMs,
  };
}

export interface GoodputSummary {
  slo: Slo;
  /** Requests due in the window that met the SLO, per second of the window. */
  requestsPerSecond: number;
  /** Share of the requests due in the window (cancelled ones apart) that met the SLO. */
  attainment: number;
}

/** `records` are the requests due in the window, slow readers and cancelled ones left out. */
export function goodput(records: readonly RequestRecord[], slo: Slo, window: Window): GoodputSummary {
  const numGood = records.filter((record) => meetsSlo(record, slo)).length;
  const seconds = windowSeconds(window);
  return {
    slo,
    requestsPerSecond: seconds > 0 ? numGood / seconds : 0,
    attainment: records.length === 0 ? 0 : numGood / records.length,
  };
}
