import path from "node:path";
import { fileURLToPath } from "node:url";
import type { Logger } from "pino";
import { headwayCacheDir } from "../models/store/cache-dirs.ts";
import type { ModelInfo } from "../models/model-info.ts";
import type { Config } from "./config/options.ts";
import { EngineClient } from "./engine/engine-client.ts";
import type { EngineSettings } from "./engine/engine-settings.ts";
import type { EngineObserver } from "./engine/observer.ts";
import type { TextPool } from "./text-pool/text-pool.ts";

export interface CreateEngineOptions {
  readonly config: Config;
  readonly modelPath: string;
  readonly modelId: string;
  /** Still starting while the engine loads. */
  readonly text: Promise<TextPool>;
  readonly observer: EngineObserver;
  readonly logger: Logger;
  /** Takes the share of the model that is loaded. */
  readonly onLoadProgress: (share: number) => void;
}

const ENGINE_ENTRY = fileURLToPath(new URL("./engine/engine-main.js", import.meta.url));

/** Wires an engine client to a child process that loads libllama. */
export function createEngine(options: CreateEngineOptions): EngineClient {
  const { config, logger } = options;
  const text = new Later(options.text);
  return new EngineClient({
    limits: {
      maxQueuedSequences: config.maxQueue,
      maxQueuedTokens: config.maxQueueTokens ?? Infinity,
      maxQueuedPerTenant: config.maxQueuePerTenant ?? Infinity,
      maxPredictedWaitMs: config.maxPredictedWaitMs ?? Infinity,
    },
    keepsPrefixes: config.prefixCache,
    observer: options.observer,
    createAssembler: ({ stopStrings, includeStopString, continuesText = false }) =>
      text.value.createAssembler({ stopStrings, includeStopString, continuesText }),
    pieceOf: (tokenId) => text.value.vocabulary.pieces[tokenId] ?? new Uint8Array(),
    now: monotonicMs,
    supervisor: {
      entry: ENGINE_ENTRY,
      settings: engineSettings(options),
      logger: {
        debug: (line) => logger.debug(line),
        info: (line) => logger.info(line),
        warn: (line) => logger.warn(line),
        error: (line) => logger.error(line),
      },
      now: monotonicMs,
      hangTimeoutMs,
      maxFruitlessRestarts: config.maxEngineRestarts,
      onLoadProgress: options.onLoadProgress,
    },
  });
}

/** Where pinned prefixes outlive the server. */
export function prefixFolder({ cacheDir }: Config): string {
  return path.join(cacheDir ?? headwayCacheDir(process.env), "prefixes");
}

function engineSettings({ config, modelPath, modelId }: CreateEngineOptions): EngineSettings {
  return {
    runner: {
      modelPath,
      modelId,
      backend: config.backend,
      numThreads: config.threads,
      kvMemoryBytes: config.kvMemoryBytes,
      gpuMemoryUtilization: config.gpuMemoryUtilization,
      maxModelLen: config.maxModelLen,
      maxNumSeqs: config.maxNumSeqs,
      cacheTypeK: config.cacheTypeK,
      cacheTypeV: config.cacheTypeV,
      kvLayout: config.kvLayout,
      isDeterministic: config.deterministic,
    },
    targetItlMs: config.targetItlMs,
    stepTimesDir: path.join(config.cacheDir ?? headwayCacheDir(process.env), "step-times"),
    prefixCache: config.prefixCache,
    hostMemoryBytes: config.kvHostMemoryBytes,
    disk: {
      folder: prefixFolder(config),
      maxBytes: config.kvDiskBytes,
    },
  };
}

const MIN_HANG_TIMEOUT_MS = 120_000;
/** Slower than any machine worth serving from, per core and second. */
const PESSIMISTIC_FLOPS = 5e9;

/** Silence that no honest step can explain: a full prefill call of this model on a very slow machine. */
function hangTimeoutMs({ numParameters, maxNumBatchedTokens, backend }: ModelInfo): number {
  if (backend !== "cpu") return MIN_HANG_TIMEOUT_MS;
  const longestStepMs = ((2 * numParameters * maxNumBatchedTokens) / PESSIMISTIC_FLOPS) * 1000;
  return Math.max(MIN_HANG_TIMEOUT_MS, longestStepMs);
}

/** A value that is there by the time anybody asks for it: nothing is generated before the text pool serves. */
class Later<T> {
  #value: T | null = null;

  constructor(promise: Promise<T>) {
    promise.then(
      (value) => {
        this.#value = value;
      },
      () => {},
    );
  }

  get value(): T {
    if (this.#value === null) throw new Error("used before it was there");
    return this.#value;
  }
}

function monotonicMs(): number {
  return performance.now();
}
