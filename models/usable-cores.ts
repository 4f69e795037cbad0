import { readFileSync } from "node:fs";
import os from "node:os";

/**
 * Cores this process may keep busy: the affinity mask, bounded by the cgroup's CPU quota.
 * ggml spins at its barriers, so one thread more than that is fatal for speed.
 */
export function usableCores(): number {
  const quota = readCpuQuota();
  const cores = os.availableParallelism();
  return Math.max(1, quota === null ? cores : Math.min(cores, Math.floor(quota)));
}

/** Cores granted by cgroup v2 (cpu.max: "quota period") or v1, or null for no limit. */
function readCpuQuota(): number | null {
  const v2 = readText("/sys/fs/cgroup/cpu.max");
  if (v2 !== null) return parseCpuMax(v2);
  const quota = readText("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  const period = readText("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  return quota === null || period === null ? null : parseCpuMax(`${quota} ${period}`);
}

export function parseCpuMax(text: string): number | null {
  const [quota, period] = text.trim().split(/\s+/).map(Number);
  if (quota === undefined || period === undefined) return null;
  return quota > 0 && period > 0 ? quota / period : null;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return null;
  }
}
