import path from "node:path";
import { deriveFacts } from "../gguf/derive-facts.ts";
import { GgufError } from "../gguf/gguf-error.ts";
import type { GgufFacts } from "../gguf/gguf-facts.ts";
import { readModelHeader } from "../gguf/read-model-header.ts";
import type { CacheType, MemoryPlan } from "../memory-plan.ts";
import { MemoryPlanError, formatBytes, formatMemoryPlan, maxNumOutputs, planMemory } from "../memory-plan.ts";
import type { MemoryAmount } from "../memory-probe.ts";
import { probeRam } from "../memory-probe.ts";
import type { Backend, ModelInfo } from "../model-info.ts";
import { usableCores } from "../usable-cores.ts";
import { findUnsupportedKind, readCapabilities } from "./capabilities.ts";
import { Context } from "./context.ts";
import type { LlamaLibrary } from "./library.ts";
import { listDevices, loadLibrary } from "./library.ts";
import type { LibraryLogger } from "./library-log.ts";
import { Model } from "./model.ts";
import { ModelLoadError } from "./model-load-error.ts";
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

const FLASH_ATTENTION = true;

/** Loads model and library, sizes the KV pool and warms up. Throws LibraryError, ModelLoadError or MemoryPlanError. */
export function loadRunner(options: LoadRunnerOptions): LoadedRunner {
  const facts = readFacts(options.modelPath);
  const library = loadLibrary(options);
  const memory = requireRoomForWeights(library, facts);
  const model = loadModel(library, facts, options);
  const plan = planPool(library, facts, options, memory);
  const context = createContext(library, model, options, plan);
  const runner = new LlamaModelRunner({
    model,
    context,
    info: describeModel({ library, model, facts, plan, options }),
    maxDecodeRowsPerCall: library.backend === "cpu" ? MAX_CPU_DECODE_ROWS : MAX_NUM_BATCHED_TOKENS,
    maxNumOutputs: maxNumOutputs(plan.maxNumSeqs),
  });
  runner.warmUp();
  const notes = [...library.notes.map((note) => `backend passed over: ${note}`), formatMemoryPlan(plan)];
  return { runner, plan, notes };
}

/** What the file says, checked before the library sees it: some malformed files make it abort the process. */
function readFacts(modelPath: string): GgufFacts {
  try {
    return deriveFacts(readModelHeader(modelPath));
  } catch (error) {
    if (!(error instanceof GgufError)) throw error;
    const subject = `The model file ${path.basename(modelPath)} cannot be served`;
    throw new ModelLoadError(`${subject}: ${error.message}.`, { cause: error });
  }
}

/**
 * Free memory before the weights are read. On CPU the weights are mapped, so a model larger than the RAM would load,
 * and then read the disk at every step.
 */
function requireRoomForWeights(library: LlamaLibrary, facts: GgufFacts): MemoryAmount {
  const memory = library.backend === "cpu" ? probeRam() : gpuMemory(library);
  if (facts.weightsBytes > memory.freeBytes) {
    const needed = formatBytes(facts.weightsBytes);
    const free = formatBytes(memory.freeBytes);
    throw new MemoryPlanError(
      `The model's weights need ${needed}, but only ${free} of ${memory.source} are free.`,
    );
  }
  return memory;
}

function gpuMemory(library: LlamaLibrary): MemoryAmount {
  const gpus = listDevices(library.ggml).filter((device) => device.isGpu);
  return {
    freeBytes: gpus.reduce((sum, gpu) => sum + gpu.freeBytes, 0),
    totalBytes: gpus.reduce((sum, gpu) => sum + gpu.totalBytes, 0),
    source: gpus.map((gpu) => gpu.description).join(" + "),
  };
}

function loadModel(library: LlamaLibrary, facts: GgufFacts, options: LoadRunnerOptions): Model {
  const model = Model.load(library, {
    path: options.modelPath,
    vocabularyOnly: false,
    onGpu: library.backend !== "cpu",
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
  });
  const problem = findUnsupportedKind(library.llama, model, facts);
  if (problem === null) return model;
  model.close();
  throw new ModelLoadError(`The model file ${path.basename(options.modelPath)} ${problem}.`);
}

/** A GPU is asked again after the weights; RAM is not, since mapped weights still count as available there. */
function planPool(
  library: LlamaLibrary,
  facts: GgufFacts,
  options: LoadRunnerOptions,
  before: MemoryAmount,
): MemoryPlan {
  const isGpu = library.backend !== "cpu";
  return planMemory({
    isGpu,
    shape: facts,
    weightsBytes: facts.weightsBytes,
    memory: isGpu ? gpuMemory(library) : { ...before, freeBytes: before.freeBytes - facts.weightsBytes },
    flashAttention: FLASH_ATTENTION,
    maxNumBatchedTokens: MAX_NUM_BATCHED_TOKENS,
    cacheTypeK: options.cacheTypeK,
    cacheTypeV: options.cacheTypeV,
    kvMemoryBytes: options.kvMemoryBytes,
    gpuMemoryUtilization: options.gpuMemoryUtilization,
    maxModelLen: options.maxModelLen,
    maxNumSeqs: options.maxNumSeqs,
  });
}

function createContext(
  library: LlamaLibrary,
  model: Model,
  options: LoadRunnerOptions,
  plan: MemoryPlan,
): Context {
  return new Context(library, model, {
    numCells: plan.numBlocks * plan.blockSize,
    maxNumSeqs: plan.maxNumSeqs,
    maxNumBatchedTokens: MAX_NUM_BATCHED_TOKENS,
    maxNumOutputs: maxNumOutputs(plan.maxNumSeqs),
    numThreads: options.numThreads ?? usableCores(),
    flashAttention: FLASH_ATTENTION,
    cacheTypeK: options.cacheTypeK,
    cacheTypeV: options.cacheTypeV,
  });
}

interface Loaded {
  readonly library: LlamaLibrary;
  readonly model: Model;
  readonly facts: GgufFacts;
  readonly plan: MemoryPlan;
  readonly options: LoadRunnerOptions;
}

function describeModel({ library, model, facts, plan, options }: Loaded): ModelInfo {
  const { llama, backend } = library;
  const vocabSize = llama.llama_vocab_n_tokens(model.vocab);
  const tokenIds = Array.from({ length: vocabSize }, (_, id) => id);
  return {
    id: options.modelId,
    architecture: facts.architecture,
    description: model.description(),
    numParameters: facts.numParameters,
    sizeBytes: facts.weightsBytes,
    vocabSize,
    embeddingLength: facts.embeddingLength,
    trainedContextLength: llama.llama_model_n_ctx_train(model.pointer),
    maxModelLen: plan.maxModelLen,
    maxNumSeqs: plan.maxNumSeqs,
    maxNumBatchedTokens: MAX_NUM_BATCHED_TOKENS,
    backend,
    deviceNames: listDevices(library.ggml)
      .filter((device) => device.isGpu === (backend !== "cpu"))
      .map((device) => device.description),
    libraryVersion: library.version,
    numThreads: options.numThreads ?? usableCores(),
    flashAttention: FLASH_ATTENTION,
    capabilities: readCapabilities(llama, model, facts),
    kvPool: {
      blockSize: plan.blockSize,
      numBlocks: plan.numBlocks,
      bytesPerToken: plan.bytesPerToken,
      sizeBytes: plan.kvBytes,
      cacheTypeK: plan.cacheTypeK,
      cacheTypeV: plan.cacheTypeV,
    },
    eogTokenIds: tokenIds.filter((id) => llama.llama_vocab_is_eog(model.vocab, id)),
  };
}
