import { setTimeout as sleep } from "node:timers/promises";

import type { HeadwayServer } from "./headway-server.ts";
import { sampleSum, scrape } from "./prometheus.ts";

const POLL_MS = 20;
const RESTART_TIMEOUT_MS = 60_000;

export interface KillPlan {
  readonly numKills: number;
  /** Tokens that have reached the clients. */
  readonly numReceived: () => number;
  readonly numExpected: number;
  /** Nothing is left to disturb. */
  readonly signal: AbortSignal;
}

/**
 * Kills the engine each time a further share of all tokens has reached the clients, and waits until it serves again.
 * Resolves to how often it has come back. An engine that has given no token since the last time is not killed: too many
 * such deaths in a row end the server.
 */
export async function killEngines(
  server: Pick<HeadwayServer, "url" | "enginePid">,
  { numKills, numReceived, numExpected, signal }: KillPlan,
): Promise<number> {
  let numWanted = 0;
  for (let numRestarts = 0; numRestarts < numKills; numRestarts += 1) {
    numWanted = Math.max(numWanted, ((numRestarts + 0.5) / numKills) * numExpected);
    while (numReceived() < numWanted) {
      if (signal.aborted) return numRestarts;
      await sleep(POLL_MS);
    }
    await killAndAwait(server);
    numWanted = numReceived() + 1;
  }
  return numKills;
}

async function killAndAwait({ url, enginePid }: Pick<HeadwayServer, "url" | "enginePid">): Promise<void> {
  const numBefore = await numDeaths(url);
  const pid = enginePid();
  if (pid === null) throw new Error("the server has no engine to kill");
  process.kill(pid, "SIGKILL");
  const startMs = performance.now();
  // Right after the signal the server still calls itself healthy.
  while ((await numDeaths(url)) === numBefore || !(await fetch(new URL("/health", url))).ok) {
    if (performance.now() - startMs > RESTART_TIMEOUT_MS) throw new Error("the engine did not come back");
    await sleep(POLL_MS);
  }
}

/** The server counts a restart when it learns of the death. */
async function numDeaths(url: string): Promise<number> {
  return sampleSum(await scrape(url), "headway_engine_restarts_total") ?? 0;
}
