import { formatMs, formatPercent, formatRate, formatTable } from "../../report/format.ts";
import type { Calibration, CoarseError } from "./calibration.ts";
import type { FleetSummary } from "./fleet-metrics.ts";
import type { RoutingName } from "./routing.ts";

export interface FleetResult {
  readonly numReplicas: number;
  readonly routing: RoutingName;
  readonly summary: FleetSummary;
}

/** Share of good requests from which a fleet counts as large enough. */
const ENOUGH = 0.99;

export function formatFleetReport(results: readonly FleetResult[], calibration: Calibration): string {
  const header = ["replicas", "routing", "TTFT p50", "p99", "ITL mean", "p99", "good", "good/s", "cached"];
  const rows = results.map(({ numReplicas, routing, summary }) => [
    String(numReplicas),
    routing,
    formatMs(summary.ttft?.p50 ?? Number.NaN),
    formatMs(summary.ttft?.p99 ?? Number.NaN),
    formatMs(summary.itl?.mean ?? Number.NaN),
    formatMs(summary.itl?.p99 ?? Number.NaN),
    formatPercent(summary.goodput.attainment),
    formatRate(summary.goodput.requestsPerSecond),
    formatPercent(summary.cacheHitShare),
    `${formatPercent(Math.min(...summary.busyShares))} - ${formatPercent(Math.max(...summary.busyShares))}`,
  ]);
  return [
    formatTable([[...header, "busy, least - most"], ...rows]),
    formatAdvice(results),
    formatCalibration(calibration),
  ].join("\n\n");
}

function formatAdvice(results: readonly FleetResult[]): string {
  const enough = results
    .filter(({ summary }) => summary.goodput.attainment >= ENOUGH)
    .sort((left, right) => left.numReplicas - right.numReplicas)[0];
  if (enough === undefined) return `No fleet tried serves ${ENOUGH * 100} % of the requests well.`;
  return `${ENOUGH * 100} % of the requests are served well by ${enough.numReplicas} replicas with ${enough.routing}.`;
}

function formatCalibration({ factors, numRequests, fitted, heldOut }: Calibration): string {
  return (
    `The coarse model (decode x ${factors.decode.toFixed(2)}, prefill x ${factors.prefill.toFixed(2)}) against the ` +
    `scheduler's own simulation of one replica:\n` +
    `  ${numRequests} requests it was fitted to: ${formatError(fitted)}\n` +
    `  the ones after them: ${formatError(heldOut)}`
  );
}

function formatError(error: CoarseError): string {
  const percent = (value: number): string => `${value >= 0 ? "+" : ""}${(value * 100).toFixed(0)} %`;
  return (
    `TTFT p50 ${percent(error.ttftP50)}, p99 ${percent(error.ttftP99)}; ` +
    `ITL mean ${percent(error.itlMean)}, p99 ${percent(error.itlP99)}; E2E mean ${percent(error.e2elMean)}`
  );
}
