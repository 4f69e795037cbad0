import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";

import { kvBytesPerToken } from "../../models/gguf/kv-bytes.ts";
import { readGgufFacts } from "../../models/gguf/read-facts.ts";
import { packageFile } from "../../src/cli/package-file.ts";
import { enginePid, processTree, residentBytes } from "./process-tree.ts";
import type { ScenarioSettings } from "./scenario.ts";

const START_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 5_000;

/** A Headway server of its own processes, as a user starts it. */
export interface HeadwayServer {
  readonly url: string;
  enginePid(): number | null;
  residentBytes(): number;
  stop(): Promise<void>;
}

/** Command-line options of `headway serve` by name; they go over the scenario's own. */
export type ServeOptions = Readonly<Record<string, string | number>>;

/** Starts `headway serve` on a free port; resolves when it listens. HEADWAY names another checkout's launcher. */
export async function startHeadway(
  settings: ScenarioSettings,
  options: ServeOptions = {},
): Promise<HeadwayServer> {
  const launcher = process.env["HEADWAY"] ?? packageFile("bin/headway.mjs");
  const all = {
    "--model": settings.modelPath,
    "--threads": settings.numThreads,
    "--port": 0,
    "--backend": "cpu",
    "--log-level": "error",
    "--shutdown-timeout": "1s",
    // What an earlier run left there would be found by this one, whose prompts are the same.
    "--kv-disk": 0,
    ...options,
  };
  const flags = Object.entries(all).flatMap(([name, value]) => [name, String(value)]);
  const child = spawn(process.execPath, [launcher, "serve", ...flags, ...settings.serverOptions], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  // Whatever ends this process must not leave a server behind that slows the next measurement.
  const killNow = (): void => killTree(child);
  process.once("exit", killNow);
  const stop = async (): Promise<void> => {
    await stopServer(child);
    process.off("exit", killNow);
  };
  try {
    const url = await listeningUrl(child);
    const pid = child.pid as number;
    return { url, enginePid: () => enginePid(pid), residentBytes: () => residentBytes(pid), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The `--kv-memory` that makes a pool of this many tokens. */
export async function kvMemoryFor(modelPath: string, numTokens: number): Promise<number> {
  return numTokens * kvBytesPerToken(await readGgufFacts(modelPath));
}

async function listeningUrl(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let printed = "";
    const timer = setTimeout(() => reject(new Error("the server was not ready in time")), START_TIMEOUT_MS);
    child.once("exit", (code) => reject(new Error(`the server ended with code ${code} before it listened`)));
    child.once("error", reject);
    // Goes on reading after that: a full pipe would stop the server.
    child.stdout?.on("data", (bytes: Buffer) => {
      printed = (printed + bytes.toString()).slice(-10_000);
      const url = /listening\s+(http\S+)\s/.exec(printed)?.[1];
      if (url === undefined) return;
      clearTimeout(timer);
      resolve(url);
    });
  });
}

async function stopServer(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  const timer = setTimeout(() => killTree(child), STOP_TIMEOUT_MS);
  child.kill("SIGTERM");
  await exited;
  clearTimeout(timer);
}

function killTree(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null) return;
  for (const pid of processTree(child.pid)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }
}
