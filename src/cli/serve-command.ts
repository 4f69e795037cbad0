import { setTimeout as sleep } from "node:timers/promises";
import { Command } from "commander";
import type { Config } from "../config/options.ts";
import type { RunningServer } from "../serve.ts";
import { addConfigOptions, readConfig } from "./config-options.ts";
import { probePort } from "./probe-port.ts";
import { isLoopback, startBanner } from "./start-banner.ts";
import { listenForShutdown, type Shutdown } from "./shutdown.ts";

/** Time for streams to hear of their end and for the engine to leave when nobody wants to wait. */
const promptCloseMs = 3000;

export function createServeCommand(setExitCode: (code: number) => void): Command {
  const command = addConfigOptions(new Command("serve"))
    .summary("serve a model over HTTP (the default)")
    .description("Serves a model over HTTP, with an OpenAI-compatible API.")
    .argument("[model]", "the model to serve, as after --model");
  return command.action(async (model: string | undefined) =>
    setExitCode(await runServe(readConfig(command, model))),
  );
}

/** Serves until a signal; resolves to the exit code once everything is closed. */
async function runServe(config: Config): Promise<number> {
  if (!isLoopback(config.host) && config.apiKeys.length === 0) {
    print(
      `warning: ${config.host} can be reached from other machines and no --api-key is set: anybody may use it`,
    );
  }
  // Better told now than after the model is loaded.
  const portError = await probePort(config);
  if (portError !== null) throw portError;
  const shutdown = listenForShutdown();
  try {
    const server = await startUnlessStopped(config, shutdown);
    if (server !== null) {
      print(startBanner(server, config));
      await shutdown.whenRequested;
      await stop(server, config.shutdownTimeoutMs, shutdown);
    }
    return 0;
  } finally {
    shutdown.dispose();
  }
}

/** Resolves to null when a signal ends the start, which is no failure. */
async function startUnlessStopped(config: Config, shutdown: Shutdown): Promise<RunningServer | null> {
  const { serve } = await import("../serve.ts");
  let isStarting = true;
  const exitIfStuck = async (): Promise<void> => {
    await sleep(promptCloseMs, null, { ref: false });
    // Whatever still holds the start up, a download or a process that does not answer, ends with this process.
    if (isStarting) process.exit(0);
  };
  shutdown.requested.addEventListener("abort", () => void exitIfStuck(), { once: true });
  try {
    return await serve(config, { signal: shutdown.requested, print });
  } catch (error) {
    if (shutdown.requested.aborted) return null;
    throw error;
  } finally {
    isStarting = false;
  }
}

async function stop(server: RunningServer, graceMs: number, shutdown: Shutdown): Promise<void> {
  print(`\nstopping: running requests may finish within ${graceMs / 1000} s; once more to stop now`);
  await Promise.race([server.close(graceMs), shutdown.whenForced]);
  if (!shutdown.forced.aborted) return;
  await Promise.race([server.close(0), sleep(promptCloseMs)]);
  // The first close may still be waiting for its requests; the second signal says not to.
  process.exit(0);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
