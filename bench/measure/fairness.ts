import type { RequestRecord } from "../load/request.ts";

import { distributionOf, type DistributionSummary } from "./distribution.ts";
import { requestMetrics } from "./request-metrics.ts";
import { outputTokensIn } from "./throughput.ts";
import { windowSeconds, type Window } from "./window.ts";

export interface TenantSummary {
  tenant: string;
  requests: number;
  failed: number;
  outputTokensPerSecond: number;
  ttft: DistributionSummary | null;
  e2el: DistributionSummary | null;
}

export interface FairnessSummary {
  tenants: TenantSummary[];
  /** Jain's index of the tenants' output token rates: 1 = equal, 1/n = one takes all. */
  jainOfThroughput: number;
  /** Jain's index of the tenants' mean TTFTs: 1 = all wait alike, whatever they ask for. */
  jainOfTtft: number;
}

/** Jain, Chiu, Hawe (1984): (sum x)^2 / (n sum x^2). 1 for no values and for all zeros. */
export function jainIndex(values: readonly number[]): number {
  const sum = values.reduce((total, value) => total + value, 0);
  const sumOfSquares = values.reduce((total, value) => total + value * value, 0);
  return sumOfSquares === 0 ? 1 : (sum * sum) / (values.length * sumOfSquares);
}

/** Null when the load has no tenants. */
export function fairness(records: readonly RequestRecord[], window: Window): FairnessSummary | null {
  const byTenant = new Map<string, RequestRecord[]>();
  for (const record of records) {
    if (record.tenant === null) continue;
    const group = byTenant.get(record.tenant) ?? [];
    group.push(record);
    byTenant.set(record.tenant, group);
  }
  if (byTenant.size === 0) return null;
  const tenants = [...byTenant].map(([tenant, group]) => tenantSummary(tenant, group, window));
  return {
    tenants,
    jainOfThroughput: jainIndex(tenants.map((tenant) => tenant.outputTokensPerSecond)),
    jainOfTtft: jainIndex(tenants.flatMap((tenant) => (tenant.ttft === null ? [] : [tenant.ttft.mean]))),
  };
}

function tenantSummary(tenant: string, records: readonly RequestRecord[], window: Window): TenantSummary {
  const done = records.filter((record) => record.outcome === "ok" && !record.slowReader);
  const tokens = records.reduce((total, record) => total + outputTokensIn(record, window), 0);
  const ttfts = done.flatMap((record) => requestMetrics(record).ttftMs ?? []);
  return {
    tenant,
    requests: records.length,
    failed: records.filter((record) => record.outcome === "error").length,
    outputTokensPerSecond: tokens / Math.max(windowSeconds(window), Number.EPSILON),
    ttft: distributionOf(ttfts).summary(),
    e2el: distributionOf(done.map((record) => requestMetrics(record).e2elMs)).summary(),
  };
}
