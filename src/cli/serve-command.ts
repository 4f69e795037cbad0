import { setTimeout as sleep } from "node:timers/promises";
import { Command } from "commander";
import type { Config } from "../config/options.ts";
import { addConfigOptions, readConfig } from "./config-options.ts";
import { isLoopback, startBanner } from "./start-banner.ts";
import { listenForShutdown, type Shutdown } from "./shutdown.ts";

/** Time for streams to hear of their end and for the engine to leave when told to stop at once. */
const forcedCloseMs = 3000;

export function createServeCommand(setExitCode: (code: number) => void): Command {
  const command = addConfigOptions(new Command("serve"))
    .summary("serve a model over HTTP (the default)")
    .description("Serves a model over HTTP, with an OpenAI-compatible API.");
  return command.action(async () => setExitCode(await runServe(readConfig(command))));
}

/** Serves until a signal; resolves to the exit code once everything is closed. */
async function runServe(config: Config): Promise<number> {
  if (!isLoopback(config.host) && config.apiKeys.length === 0) {
    print(
      `warning: ${config.host} can be reached from other machines and no --api-key is set: anybody may use it`,
    );
  }
  const shutdown = listenForShutdown();
  try {
    await serveUntil(shutdown, config);
    return 0;
  } catch (error) {
    // A signal while the model loads ends the start; that is no failure.
    if (shutdown.requested.aborted && (error as Error).name === "AbortError") return 0;
    throw error;
  } finally {
    shutdown.dispose();
  }
}

async function serveUntil(shutdown: Shutdown, config: Config): Promise<void> {
  const { serve } = await import("../serve.ts");
  const server = await serve(config, { signal: shutdown.requested, print });
  print(startBanner(server, config));
  await shutdown.whenRequested;
  print(
    `\nstopping: running requests may finish within ${config.shutdownTimeoutMs / 1000} s; once more to stop now`,
  );
  const closed = server.close(config.shutdownTimeoutMs);
  await Promise.race([closed, shutdown.whenForced]);
  if (!shutdown.forced.aborted) return;
  await Promise.race([server.close(0), sleep(forcedCloseMs)]);
  // The first close may still be waiting for its requests; the second signal says not to.
  process.exit(0);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
