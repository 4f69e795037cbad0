import { readFileSync, readdirSync } from "node:fs";

/*
 * Linux only: who belongs to a server, and how much memory it takes, is read from /proc.
 */

interface ProcessEntry {
  readonly pid: number;
  readonly parentPid: number;
}

/** The process and everything it started that still lives. */
export function processTree(rootPid: number): number[] {
  const entries = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readEntry(Number(name)) ?? []);
  const tree = [rootPid];
  for (const pid of tree)
    tree.push(...entries.filter(({ parentPid }) => parentPid === pid).map((each) => each.pid));
  return tree;
}

/** The child of a Headway server that computes; null while there is none. */
export function enginePid(serverPid: number): number | null {
  return processTree(serverPid).find((pid) => read(pid, "cmdline").includes("engine-main")) ?? null;
}

/** Resident memory of a server with all its children, in bytes. */
export function residentBytes(rootPid: number): number {
  return processTree(rootPid).reduce((sum, pid) => sum + residentBytesOf(pid), 0);
}

function residentBytesOf(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(read(pid, "status"))?.[1];
  return Number(kibibytes ?? 0) * 1024;
}

function readEntry(pid: number): ProcessEntry | null {
  // The name in parentheses may hold spaces and parentheses itself.
  const fields = read(pid, "stat").split(") ").at(-1)?.split(" ");
  const parentPid = Number(fields?.[1]);
  return Number.isInteger(parentPid) ? { pid, parentPid } : null;
}

/** A process that has just ended reads as empty. */
function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return "";
  }
}
