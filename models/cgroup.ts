import { readFileSync } from "node:fs";
import path from "node:path";

/** One control group of Linux whose limits bind this process. */
export interface ControlGroup {
  readonly version: 1 | 2;
  /** Text of one of its files, or null when it has none of that name. */
  readonly read: (file: string) => string | null;
}

/** This process's own group and all groups above: each may hold a limit, as systemd and containers set them. */
export function controlGroups(controller: "cpu" | "memory"): ControlGroup[] {
  const { version, folders } = groupFolders(readText("/proc/self/cgroup") ?? "", controller);
  return folders.map((folder) => ({ version, read: (file) => readText(path.join(folder, file)) }));
}

export interface GroupFolders {
  readonly version: 1 | 2;
  /** From the process's own up to the root. */
  readonly folders: readonly string[];
}

/** Reads /proc/self/cgroup (man 7 cgroups): lines of "id:controllers:path", version 2's without controllers. */
export function groupFolders(membership: string, controller: string): GroupFolders {
  const groups = membership.split("\n").map((line) => /^\d+:([^:]*):(\/.*)$/.exec(line));
  const ownV1 = groups.find((group) => group?.[1]?.split(",").includes(controller));
  const own = ownV1 ?? groups.find((group) => group?.[1] === "");
  const root = ownV1 ? `/sys/fs/cgroup/${controller}` : "/sys/fs/cgroup";
  return { version: ownV1 ? 1 : 2, folders: upwards(own?.[2] ?? "/").map((dir) => path.join(root, dir)) };
}

function upwards(dir: string): string[] {
  const parent = path.dirname(dir);
  return parent === dir ? [dir] : [dir, ...upwards(parent)];
}

function readText(file: string): string | null {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return null;
  }
}
