import os from "node:os";
import { controlGroups } from "./cgroup.ts";

/**
 * Cores this process may keep busy: the affinity mask, bounded by the CPU quota of its control groups.
 * ggml spins at its barriers, so one thread more than that is fatal for speed.
 */
export function usableCores(): number {
  const quota = readCpuQuota();
  const cores = os.availableParallelism();
  return Math.max(1, quota === null ? cores : Math.min(cores, Math.floor(quota)));
}

/** As many compute threads as are asked for, or all that have a core; never more than have one. */
export function boundedThreads(asked: number | null): number {
  return Math.min(asked ?? Infinity, usableCores());
}

/** Cores that the tightest of this process's control groups grants, or null for no limit. */
function readCpuQuota(): number | null {
  const quotas = controlGroups("cpu").map(({ version, read }) =>
    parseCpuMax(
      version === 2 ? (read("cpu.max") ?? "") : `${read("cpu.cfs_quota_us")} ${read("cpu.cfs_period_us")}`,
    ),
  );
  const limits = quotas.filter((quota) => quota !== null);
  return limits.length === 0 ? null : Math.min(...limits);
}

/** "quota period", as in version 2's cpu.max; anything else means no limit. */
export function parseCpuMax(text: string): number | null {
  const [quota, period] = text.trim().split(/\s+/).map(Number);
  if (quota === undefined || period === undefined) return null;
  return quota > 0 && period > 0 ? quota / period : null;
}
