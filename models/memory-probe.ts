import { readFileSync } from "node:fs";
import os from "node:os";
import { controlGroups } from "./cgroup.ts";

/** Memory of a device or of the machine, in bytes. */
export interface MemoryAmount {
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** Where the number comes from, for the operator. */
  readonly source: string;
}

const memoryFilesV1 = { limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes" };
const memoryFilesV2 = { limit: "memory.max", usage: "memory.current" };

/** RAM this process can still take: what the system calls available, bounded by the limits of its control groups. */
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

/** The tightest of this process's control groups. */
function cgroupMemory(): MemoryAmount | null {
  const amounts = controlGroups("memory")
    .map(({ version, read }) => {
      const files = version === 2 ? memoryFilesV2 : memoryFilesV1;
      return cgroupAmount(read(files.limit), read(files.usage), read("memory.stat") ?? "");
    })
    .filter((amount) => amount !== null);
  return amounts.sort((a, b) => a.freeBytes - b.freeBytes)[0] ?? null;
}

/**
 * Exported for tests. "max", or v1's number beyond all RAM, means no limit. Page cache counts as used but can be
 * reclaimed, so inactive file pages are added back.
 */
export function cgroupAmount(
  limitText: string | null,
  usageText: string | null,
  statText: string,
): MemoryAmount | null {
  if (limitText === null || usageText === null) return null;
  const totalBytes = Number(limitText);
  const usedBytes = Number(usageText);
  if (!Number.isFinite(totalBytes) || totalBytes <= 0 || totalBytes >= 2 ** 60) return null;
  // Version 1 tells its own group's before those of the whole subtree, which the usage counts.
  const inactive = /^total_inactive_file (\d+)/m.exec(statText) ?? /^inactive_file (\d+)/m.exec(statText);
  const freeBytes = Math.max(0, totalBytes - usedBytes + Number(inactive?.[1] ?? 0));
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
