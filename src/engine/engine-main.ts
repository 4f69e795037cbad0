import { KvCacheManager } from "../../kvcache/kv-cache-manager.ts";
import { LibraryError } from "../../models/llama/library.ts";
import { loadRunner } from "../../models/llama/load-runner.ts";
import { ModelLoadError } from "../../models/llama/model-load-error.ts";
import { MemoryPlanError } from "../../models/memory-plan.ts";
import type { LlamaModelRunner } from "../../models/llama/runner.ts";
import type { ModelRunner } from "../../models/model-runner.ts";
import type { ModelInfo } from "../../models/model-info.ts";
import { Scheduler } from "../../scheduler/scheduler.ts";
import { ModelRefusedError, runEngineProcess, type LoadedEngine } from "./engine-process.ts";
import type { EngineSettings } from "./engine-settings.ts";
import { GovernedRunner } from "./governed-runner.ts";
import type { FromEngine } from "./protocol.ts";

/** Ids of libllama's unified memory (LLAMA_MAX_SEQ, src/llama-cparams.h): running sequences and cached branches. */
const NUM_SEQ_IDS = 256;

/**
 * In the paged layout every decoding row scans all cells in use, idle ones too, so on CPU only this share of the pool
 * is spent on prefixes nobody runs. A GPU hides the scan.
 */
const CPU_CACHED_SHARE = 0.25;

function load(send: (message: FromEngine) => void, settings: EngineSettings): LoadedEngine {
  const { runner, notes } = loadOrRefuse(send, settings);
  const { info } = runner;
  const kvCache = new KvCacheManager({
    numBlocks: info.kvPool.numBlocks,
    blockSize: info.kvPool.blockSize,
    numSeqIds: NUM_SEQ_IDS,
    maxCachedBlocks: maxCachedBlocks(info, settings),
    canShare: info.capabilities.canShare,
    canTrim: info.capabilities.canTrim,
  });
  const scheduler = new Scheduler(
    {
      maxNumSeqs: info.maxNumSeqs,
      maxNumBatchedTokens: info.maxNumBatchedTokens,
      maxModelLen: info.maxModelLen,
      targetItlMs: settings.targetItlMs,
      eogTokenIds: info.eogTokenIds,
    },
    kvCache,
  );
  return { runner: governThreads(runner, send), scheduler, notes };
}

function loadOrRefuse(
  send: (message: FromEngine) => void,
  settings: EngineSettings,
): ReturnType<typeof loadRunner> {
  try {
    return loadRunner({
      ...settings.runner,
      logger: (level, message) => {
        send({ type: "log", level, message });
      },
      onProgress: (progress) => {
        send({ type: "loading", progress });
      },
    });
  } catch (error) {
    const isRefusal =
      error instanceof ModelLoadError || error instanceof LibraryError || error instanceof MemoryPlanError;
    throw isRefusal ? new ModelRefusedError(error.message) : error;
  }
}

/** Threads of the CPU backend spin at barriers and so must not outnumber the cores; a GPU has its own. */
function governThreads(runner: LlamaModelRunner, send: (message: FromEngine) => void): ModelRunner {
  if (runner.info.backend !== "cpu" || runner.info.numThreads === 1) return runner;
  return new GovernedRunner(runner, (numThreads, reason) => {
    send({ type: "threads", numThreads, reason });
  });
}

function maxCachedBlocks(info: ModelInfo, settings: EngineSettings): number {
  if (!settings.prefixCache) return 0;
  const { numBlocks } = info.kvPool;
  return info.backend === "cpu" ? Math.floor(numBlocks * CPU_CACHED_SHARE) : numBlocks;
}

const settings = JSON.parse(process.argv[2] ?? "{}") as EngineSettings;
await runEngineProcess(async (send) => load(send, settings));
