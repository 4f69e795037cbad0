import { execFileSync, type StdioOptions } from "node:child_process";
import { readFileSync } from "node:fs";
import os from "node:os";

import { packageFile } from "../../src/cli/package-file.ts";

/** The machine the harness ran on: without these a number cannot be compared with another. */
export interface MachineFacts {
  cpu: string;
  cores: number;
  /** Cores the process may use at once under its control group; null without a limit. */
  cpuQuota: number | null;
  governor: string | null;
  memoryGiB: number;
  loadAverage: number;
  platform: string;
  kernel: string;
  node: string;
  commit: string | null;
  hasUncommittedChanges: boolean | null;
}

export function machineFacts(): MachineFacts {
  const status = git("status", "--porcelain", "--untracked-files=no");
  return {
    cpu: os.cpus()[0]?.model.trim() ?? "unknown",
    cores: os.cpus().length,
    cpuQuota: cpuQuota(),
    governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    memoryGiB: Math.round((os.totalmem() / 2 ** 30) * 10) / 10,
    loadAverage: os.loadavg()[0] as number,
    platform: `${os.platform()} ${os.arch()}`,
    kernel: os.release(),
    node: process.version,
    commit: git("rev-parse", "HEAD"),
    hasUncommittedChanges: status === null ? null : status !== "",
  };
}

/** cgroup v2's `cpu.max`: "QUOTA PERIOD" or "max PERIOD". */
function cpuQuota(): number | null {
  const [quota, period] = (read("/sys/fs/cgroup/cpu.max") ?? "").split(" ").map(Number);
  return quota !== undefined && period !== undefined && quota > 0 ? quota / period : null;
}

function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return null;
  }
}

function git(...command: string[]): string | null {
  try {
    const stdio: StdioOptions = ["ignore", "pipe", "ignore"];
    return execFileSync("git", ["-C", packageFile("."), ...command], { encoding: "utf8", stdio }).trim();
  } catch {
    return null;
  }
}
