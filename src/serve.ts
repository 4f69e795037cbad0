import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import { pino, type Logger } from "pino";
import { readGgufFacts } from "../models/gguf/read-facts.ts";
import type { ModelInfo } from "../models/model-info.ts";
import { resolveModel } from "../models/store/resolve.ts";
import type { DownloadProgressSink } from "../models/store/progress.ts";
import type { ResolvedModel } from "../models/store/resolved-model.ts";
import { usableCores } from "../models/usable-cores.ts";
import { showLoadProgress } from "./cli/load-progress.ts";
import { createProgressSink } from "./cli/models-progress.ts";
import { headwayVersion } from "./cli/package-file.ts";
import { ConfigError } from "./config/config-error.ts";
import type { Config } from "./config/options.ts";
import { createEngine, prefixFolder } from "./create-engine.ts";
import type { EngineClient } from "./engine/engine-client.ts";
import { buildApp } from "./server/app.ts";
import { defaultServerConfig, type ServerConfig } from "./server/dependencies.ts";
import { PrefixFileStore } from "./server/prefix-store.ts";
import { Telemetry } from "./telemetry/telemetry.ts";
import { defaultTextPoolOptions, TextPool } from "./text-pool/text-pool.ts";

export interface ServeOptions {
  /** Ends the start when it fires before the server listens. */
  readonly signal?: AbortSignal;
  /** Shows a line to whoever started the server. */
  readonly print: (line: string) => void;
  /** Hears of downloads and of the load; the standard error unless given. */
  readonly progress?: DownloadProgressSink;
}

export interface RunningServer {
  readonly url: string;
  readonly model: ModelInfo;
  /** Lines of the engine worth a person's attention. */
  readonly notes: readonly string[];
  /** Refuses new work, lets running work finish for up to `graceMs`, then ends everything. Again with 0: now. */
  close(graceMs: number): Promise<void>;
}

/** Brings up the whole server: model, engine, text pool, HTTP. Rejects with one sentence when that cannot be. */
export async function serve(config: Config, options: ServeOptions): Promise<RunningServer> {
  const { signal, print, progress = createProgressSink(process.stderr) } = options;
  const logger = pino({ level: config.logLevel }, pino.destination({ dest: 2, sync: false }));
  const resolved = await resolveModel(config.model, {
    progress,
    signal: signal ?? new AbortController().signal,
    offline: config.offline,
    ...(config.cacheDir !== null && { cacheDir: config.cacheDir }),
  });
  if (resolved.fallbackReason !== null) print(resolved.fallbackReason);
  // Damaged and hostile files are refused here, before any native code sees them.
  const { weightsBytes } = await readGgufFacts(resolved.path, signal === undefined ? {} : { signal });
  const onLoadProgress = showLoadProgress(progress, resolved.name, weightsBytes);
  const { engine, text, telemetry } = await startModel({ config, resolved, logger, signal, onLoadProgress });
  try {
    signal?.throwIfAborted();
    const app = await buildApp({
      engine,
      text,
      config: toServerConfig(config, resolved),
      logger,
      telemetry,
      version: headwayVersion(),
      ...(config.prefixCache &&
        config.kvDiskBytes > 0 && {
          prefixStore: new PrefixFileStore(prefixFolder(config), engine.model!),
        }),
    });
    await app.listen({ host: config.host, port: config.port });
    return new Server({ app, engine, text, host: config.host });
  } catch (error) {
    await Promise.all([engine.close(0), text.close()]);
    throw error;
  }
}

interface ServingModel {
  readonly engine: EngineClient;
  readonly text: TextPool;
  readonly telemetry: Telemetry;
}

interface StartModelOptions {
  readonly config: Config;
  readonly resolved: ResolvedModel;
  readonly logger: Logger;
  readonly signal: AbortSignal | undefined;
  readonly onLoadProgress: (share: number) => void;
}

/** Engine and text pool load side by side; where both fail, the engine knows better why. */
async function startModel(options: StartModelOptions): Promise<ServingModel> {
  const { config, resolved, logger, signal } = options;
  const telemetry = new Telemetry(servedName(config, resolved));
  const startingText = startText(config, resolved);
  startingText.catch(() => {});
  const engine = createEngine({
    config,
    modelPath: resolved.path,
    modelId: servedName(config, resolved),
    text: startingText,
    observer: telemetry.engine,
    logger,
    onLoadProgress: options.onLoadProgress,
  });
  const stop = (): void => void engine.close(0);
  try {
    signal?.throwIfAborted();
    signal?.addEventListener("abort", stop, { once: true });
    await engine.start();
    telemetry.watch(engine);
    return { engine, text: await startingText, telemetry };
  } catch (error) {
    await Promise.all([
      engine.close(0),
      startingText.then(
        (text) => text.close(),
        () => {},
      ),
    ]);
    throw error;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

async function startText(config: Config, resolved: ResolvedModel): Promise<TextPool> {
  return TextPool.start(resolved.path, {
    numWorkers: usableCores() > 2 ? 2 : 1,
    maxInputBytes: Math.min(defaultTextPoolOptions.maxInputBytes, config.bodyLimitBytes),
    maxQueue: Math.max(defaultTextPoolOptions.maxQueue, config.maxQueue),
    chatTemplate: config.chatTemplate === null ? null : await readTemplate(config.chatTemplate),
  });
}

async function readTemplate(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError(`the chat template ${path} cannot be read (${code})`);
  }
}

function servedName(config: Config, resolved: ResolvedModel): string {
  return config.servedModelName ?? resolved.name;
}

function toServerConfig(config: Config, resolved: ResolvedModel): ServerConfig {
  return {
    ...defaultServerConfig,
    apiKeys: config.apiKeys,
    servedModelName: servedName(config, resolved),
    maxQueue: config.maxQueue,
    bodyLimitBytes: config.bodyLimitBytes,
    corsOrigins: config.corsOrigins.length > 0 ? config.corsOrigins : defaultServerConfig.corsOrigins,
    allowedHosts: config.allowedHosts,
    defaultMaxTokens: config.defaultMaxTokens,
    maxNumStopStrings: config.maxNumStopStrings,
    defaultSeed: config.seed ?? (config.deterministic ? 0 : null),
    isDeterministic: config.deterministic,
    keepsPrefixes: config.prefixCache,
    guardMetrics: config.guardMetrics,
    ssePingIntervalMs: config.ssePingIntervalMs,
    streamBuffer: {
      softBytes: config.streamBufferSoftBytes,
      hardBytes: config.streamBufferHardBytes,
      maxPausedMs: config.slowReaderTimeoutMs,
    },
  };
}

interface ServerParts {
  readonly app: FastifyInstance;
  readonly engine: EngineClient;
  readonly text: TextPool;
  readonly host: string;
}

function templateNotes({ templateSource, templateProblem }: TextPool): string[] {
  const notes = templateProblem === null ? [] : [`chat template: ${templateProblem}`];
  if (templateSource === "chatml") notes.push("the model has no chat template; ChatML is used");
  return notes;
}

/** Time for last bytes to leave. Node takes a connection that never sent a request for active, and would wait for it. */
const LINGER_MS = 1000;

async function closeConnections(app: FastifyInstance): Promise<void> {
  const timer = setTimeout(() => {
    app.server.closeAllConnections();
  }, LINGER_MS);
  await app.close();
  clearTimeout(timer);
}

class Server implements RunningServer {
  readonly url: string;
  readonly model: ModelInfo;
  readonly notes: readonly string[];
  readonly #parts: ServerParts;

  constructor(parts: ServerParts) {
    this.#parts = parts;
    const { port, family } = parts.app.server.address() as AddressInfo;
    const host = family === "IPv6" ? `[${parts.host}]` : parts.host;
    this.url = `http://${host}:${port}`;
    this.model = parts.engine.model!;
    this.notes = [...parts.engine.notes, ...templateNotes(parts.text)];
  }

  /** The engine drains first, answering what it cannot finish; only then are connections closed. */
  async close(graceMs: number): Promise<void> {
    const { app, engine, text } = this.#parts;
    await engine.close(graceMs);
    await closeConnections(app);
    await text.close();
  }
}
