import { readFileSync } from "node:fs";
import os from "node:os";

/** Memory of a device or of the machine, in bytes. */
export interface MemoryAmount {
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** Where the number comes from, for the operator. */
  readonly source: string;
}

/** RAM this process can still take: what the system calls available, bounded by the cgroup's limit. */
export function probeRam(): MemoryAmount {
  const system = systemMemory();
  const group = cgroupMemory();
  return group !== null && group.freeBytes < system.freeBytes ? group : system;
}

function systemMemory(): MemoryAmount {
  const meminfo = readText("/proc/meminfo");
  const available = meminfo === null ? null : parseMeminfo(meminfo, "MemAvailable");
  return { freeBytes: available ?? os.freemem(), totalBytes: os.totalmem(), source: "RAM" };
}

/** Page cache counts as used in a cgroup but can be reclaimed, so inactive file pages are added back. */
function cgroupMemory(): MemoryAmount | null {
  const v2 = readGroup(
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory.current",
    "/sys/fs/cgroup/memory.stat",
  );
  if (v2 !== null) return v2;
  const base = "/sys/fs/cgroup/memory";
  return readGroup(`${base}/memory.limit_in_bytes`, `${base}/memory.usage_in_bytes`, `${base}/memory.stat`);
}

function readGroup(limitPath: string, usagePath: string, statPath: string): MemoryAmount | null {
  const limit = readText(limitPath);
  const usage = readText(usagePath);
  if (limit === null || usage === null) return null;
  return cgroupAmount(limit, usage, readText(statPath) ?? "");
}

/** Exported for tests. "max", or v1's number beyond all RAM, means no limit. */
export function cgroupAmount(limitText: string, usageText: string, statText: string): MemoryAmount | null {
  const totalBytes = Number(limitText);
  const usedBytes = Number(usageText);
  if (!Number.isFinite(totalBytes) || totalBytes <= 0 || totalBytes >= 2 ** 60) return null;
  const reclaimable = Number(/^(?:total_)?inactive_file (\d+)/m.exec(statText)?.[1] ?? 0);
  const freeBytes = Math.max(0, totalBytes - usedBytes + reclaimable);
  return { freeBytes, totalBytes, source: "cgroup limit" };
}

export function parseMeminfo(text: string, key: string): number | null {
  const match = new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(text);
  return match === null ? null : Number(match[1]) * 1024;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return null;
  }
}
