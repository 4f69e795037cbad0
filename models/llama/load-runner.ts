import { statSync } from "node:fs";
import path from "node:path";
import type { Backend, ModelInfo } from "../model-info.ts";
import type { CacheType, MemoryPlan } from "../memory-plan.ts";
import { MemoryPlanError, formatBytes, formatMemoryPlan, maxNumOutputs, planMemory } from "../memory-plan.ts";
import type { MemoryAmount } from "../memory-probe.ts";
import { probeRam } from "../memory-probe.ts";
import { usableCores } from "../usable-cores.ts";
import { Context } from "./context.ts";
import type { LlamaLibrary } from "./library.ts";
import { listDevices, loadLibrary } from "./library.ts";
import type { LibraryLogger } from "./library-log.ts";
import { Model } from "./model.ts";
import { ModelLoadError } from "./model-load-error.ts";
import { findUnsupportedKind, readCapabilities, readModelShape } from "./model-shape.ts";
import { LlamaModelRunner } from "./runner.ts";

export interface LoadRunnerOptions {
  readonly modelPath: string;
  /** Served name. */
  readonly modelId: string;
  readonly backend: Backend | "auto";
  /** null takes the usable cores. */
  readonly numThreads: number | null;
  readonly kvMemoryBytes: number | null;
  readonly gpuMemoryUtilization: number;
  readonly maxModelLen: number | null;
  readonly maxNumSeqs: number | null;
  readonly cacheTypeK: CacheType;
  readonly cacheTypeV: CacheType;
  readonly logger: LibraryLogger;
  readonly onProgress?: (progress: number) => void;
}

export interface LoadedRunner {
  readonly runner: LlamaModelRunner;
  readonly plan: MemoryPlan;
  /** Lines for the operator: backends passed over, the memory plan. */
  readonly notes: readonly string[];
}

/** Options that leave every choice to the machine and the model. */
export const DEFAULT_RUNNER_OPTIONS = {
  backend: "auto",
  numThreads: null,
  kvMemoryBytes: null,
  gpuMemoryUtilization: 0.9,
  maxModelLen: null,
  maxNumSeqs: null,
  cacheTypeK: "f16",
  cacheTypeV: "f16",
} as const;

/** Tokens of one model call: the library's own default, and the largest chunk that still gains speed on CPU. */
const MAX_NUM_BATCHED_TOKENS = 512;
/** With 64 rows and more ggml's CPU attention computes whole tiles of (row, cell) pairs, most of them masked. */
const MAX_CPU_DECODE_ROWS = 63;

/** Loads model and library, sizes the KV pool and warms up. Throws LibraryError, ModelLoadError or MemoryPlanError. */
export function loadRunner(options: LoadRunnerOptions): LoadedRunner {
  const library = loadLibrary(options);
  const ramBefore = probeRam();
  requireRoomForWeights(library, options.modelPath, ramBefore);
  const model = Model.load(library, {
    path: options.modelPath,
    vocabularyOnly: false,
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
  });
  const unsupported = findUnsupportedKind(library.llama, model);
  if (unsupported !== null) {
    throw new ModelLoadError(`The model file ${path.basename(options.modelPath)} ${unsupported}.`);
  }
  const plan = planPool(library, model, options, ramBefore);
  const settings = {
    numThreads: options.numThreads ?? usableCores(),
    flashAttention: usesFlashAttention(options),
  };
  const context = new Context(library, model, {
    ...settings,
    numCells: plan.numBlocks * plan.blockSize,
    maxNumSeqs: plan.maxNumSeqs,
    maxNumBatchedTokens: MAX_NUM_BATCHED_TOKENS,
    maxNumOutputs: maxNumOutputs(plan.maxNumSeqs),
    cacheTypeK: options.cacheTypeK,
    cacheTypeV: options.cacheTypeV,
  });
  const info = describeModel({ library, model, plan, modelId: options.modelId, ...settings });
  const runner = new LlamaModelRunner({
    model,
    context,
    info,
    maxDecodeRowsPerCall: library.backend === "cpu" ? MAX_CPU_DECODE_ROWS : MAX_NUM_BATCHED_TOKENS,
    maxNumOutputs: maxNumOutputs(plan.maxNumSeqs),
  });
  runner.warmUp(info.eogTokenIds[0] ?? 0);
  const notes = [...library.notes.map((note) => `backend passed over: ${note}`), formatMemoryPlan(plan)];
  return { runner, plan, notes };
}

function usesFlashAttention(_options: LoadRunnerOptions): boolean {
  return true;
}

/** On CPU the weights are mapped, so a model larger than the RAM would load, and then read the disk at every step. */
function requireRoomForWeights(library: LlamaLibrary, modelPath: string, ram: MemoryAmount): void {
  const sizeBytes = fileSize(modelPath);
  const free = library.backend === "cpu" ? ram.freeBytes : gpuMemory(library).freeBytes;
  if (sizeBytes !== null && sizeBytes > free) {
    throw new MemoryPlanError(
      `The model file ${path.basename(modelPath)} (${formatBytes(sizeBytes)}) is larger than the free memory (${formatBytes(free)}).`,
    );
  }
}

function fileSize(modelPath: string): number | null {
  try {
    return statSync(modelPath).size;
  } catch {
    return null;
  }
}

function gpuMemory(library: LlamaLibrary): MemoryAmount {
  const gpus = listDevices(library.ggml).filter((device) => device.isGpu);
  return {
    freeBytes: gpus.reduce((sum, gpu) => sum + gpu.freeBytes, 0),
    totalBytes: gpus.reduce((sum, gpu) => sum + gpu.totalBytes, 0),
    source: gpus.map((gpu) => gpu.description).join(" + "),
  };
}

function planPool(
  library: LlamaLibrary,
  model: Model,
  options: LoadRunnerOptions,
  ramBefore: MemoryAmount,
): MemoryPlan {
  const isGpu = library.backend !== "cpu";
  const weightsBytes = library.llama.llama_model_size(model.pointer);
  // A GPU's free memory is asked for after the weights; RAM before, since mapped weights still count as available.
  const ram = { ...ramBefore, freeBytes: Math.max(0, ramBefore.freeBytes - weightsBytes) };
  return planMemory({
    isGpu,
    shape: readModelShape(library.llama, model),
    weightsBytes,
    memory: isGpu ? gpuMemory(library) : ram,
    flashAttention: usesFlashAttention(options),
    maxNumBatchedTokens: MAX_NUM_BATCHED_TOKENS,
    cacheTypeK: options.cacheTypeK,
    cacheTypeV: options.cacheTypeV,
    kvMemoryBytes: options.kvMemoryBytes,
    gpuMemoryUtilization: options.gpuMemoryUtilization,
    maxModelLen: options.maxModelLen,
    maxNumSeqs: options.maxNumSeqs,
  });
}

interface Loaded {
  readonly library: LlamaLibrary;
  readonly model: Model;
  readonly plan: MemoryPlan;
  readonly modelId: string;
  readonly numThreads: number;
  readonly flashAttention: boolean;
}

function describeModel({ library, model, plan, modelId, numThreads, flashAttention }: Loaded): ModelInfo {
  const { llama } = library;
  const vocabSize = llama.llama_vocab_n_tokens(model.vocab);
  const ids = Array.from({ length: vocabSize }, (_, id) => id);
  return {
    id: modelId,
    architecture: model.metadata("general.architecture") ?? "unknown",
    description: model.description(),
    numParameters: llama.llama_model_n_params(model.pointer),
    sizeBytes: plan.weightsBytes,
    vocabSize,
    embeddingLength: llama.llama_model_n_embd(model.pointer),
    trainedContextLength: llama.llama_model_n_ctx_train(model.pointer),
    maxModelLen: plan.maxModelLen,
    maxNumSeqs: plan.maxNumSeqs,
    maxNumBatchedTokens: MAX_NUM_BATCHED_TOKENS,
    backend: library.backend,
    deviceNames: listDevices(library.ggml)
      .filter((device) => device.isGpu || library.backend === "cpu")
      .map((device) => device.description),
    libraryVersion: library.version,
    numThreads,
    flashAttention,
    capabilities: readCapabilities(llama, model),
    kvPool: {
      blockSize: plan.blockSize,
      numBlocks: plan.numBlocks,
      bytesPerToken: plan.bytesPerToken,
      sizeBytes: plan.kvBytes,
      cacheTypeK: plan.cacheTypeK,
      cacheTypeV: plan.cacheTypeV,
    },
    eogTokenIds: ids.filter((id) => llama.llama_vocab_is_eog(model.vocab, id)),
  };
}
