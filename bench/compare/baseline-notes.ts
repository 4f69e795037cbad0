import type { BenchResult } from "../report/bench-result.ts";

/** What makes two results comparable, by the words a reader knows it under. */
const CONDITIONS: Record<string, (result: BenchResult) => unknown> = {
  "endpoint or model": ({ config: { target } }) => [target.api, target.model],
  "sampling options": ({ config: { target } }) => [target.temperature, target.ignoreEos, target.extraBody],
  load: ({ config: { load } }) => ({ ...load, seed: null }),
  workload: ({ config: { workload } }) => ({ ...workload, seed: null }),
  seed: ({ config: { load } }) => load.seed,
  window: ({ config: { warmupMs, cooldownMs } }) => [warmupMs, cooldownMs],
  machine: ({ machine: { cpu, cores, cpuQuota } }) => [cpu, cores, cpuQuota],
};

/** In what the baseline was taken under other conditions: a ratio then says less than it seems to. */
export function baselineNotes(result: BenchResult, baseline: BenchResult): string[] {
  // Through JSON, as the baseline came: what JSON cannot hold is no difference.
  const text = (value: unknown): string =>
    JSON.stringify(value, (_, each) => (each === Infinity ? "inf" : each));
  return Object.entries(CONDITIONS)
    .filter(([, of]) => text(of(result)) !== text(of(baseline)))
    .map(([name]) => `note: the baseline was taken with another ${name}`);
}
