import { readdirSync, readFileSync } from "node:fs";
import { SILENT_PROGRESS } from "../../models/store/progress.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { serve, type RunningServer } from "../../src/serve.ts";
import { temporaryFolder } from "./temporary-folder.ts";

/**
 * The whole server on the embedded demo model and a free port. One compute thread: tests share the machine with
 * other tests, and spinning threads of several engines would only slow each other down.
 */
export async function startRealServer(flags: Record<string, unknown> = {}): Promise<RunningServer> {
  const config = loadConfig({
    // What other runs learned about step times must not steer this one.
    flags: {
      cache: flags["cache"] ?? temporaryFolder(),
      model: "demo",
      port: "0",
      threads: "1",
      backend: "cpu",
      // Not what the load of the machine makes of it.
      "kv-layout": "paged",
      "kv-host-memory": "256MiB",
      "log-level": "silent",
      ...flags,
    },
    environment: {},
  });
  return serve(config, { print: () => {}, progress: SILENT_PROGRESS });
}

/** Current value of a series in Prometheus text, summed over its label sets that contain `labels`. */
export async function readMetric(url: string, name: string, labels = ""): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  let total = 0;
  for (const line of text.split("\n")) {
    if (!line.startsWith(`${name}{`) || !line.includes(labels)) continue;
    total += Number(line.slice(line.lastIndexOf(" ") + 1));
  }
  return total;
}

/** Polls until `condition` holds; fails after `timeoutMs`, which a slow machine does not reach. */
export async function eventually(condition: () => Promise<boolean>, timeoutMs = 30_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error("the condition was not met in time");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Children of this process whose command line holds `name` (Linux). */
export function childPids(name = ""): number[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry) && isOurChild(entry, name))
    .map(Number);
}

function isOurChild(pid: string, name: string): boolean {
  try {
    const parentPid = /^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return parentPid === String(process.pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(name);
  } catch {
    // It ended while we looked.
    return false;
  }
}
