import path from "node:path";
import { deriveFacts } from "../gguf/derive-facts.ts";
import { GgufError } from "../gguf/gguf-error.ts";
import type { GgufFacts } from "../gguf/gguf-facts.ts";
import { readModelHeader } from "../gguf/read-model-header.ts";
import type { CacheType, MemoryPlan } from "../memory-plan.ts";
import { MemoryPlanError, formatBytes, formatMemoryPlan, maxNumOutputs, planMemory } from "../memory-plan.ts";
import type { MemoryAmount } from "../memory-probe.ts";
import { probeRam } from "../memory-probe.ts";
import type { KvLayout } from "../../scheduler/contracts.ts";
import type { LayoutCosts } from "../layout-choice.ts";
import type { Backend, MemoryCapabilities, ModelInfo } from "../model-info.ts";
import { boundedThreads } from "../usable-cores.ts";
import { findUnsupportedKind, readCapabilities } from "./capabilities.ts";
import { type CallRules, MAX_ROW_MULTIPLE } from "./compose-calls.ts";
import { Context, type ContextOptions } from "./context.ts";
import { decideLayout, type DecidedLayout } from "./decide-layout.ts";
import { describeDoubtfulOptions } from "./doubtful-options.ts";
import type { LlamaLibrary } from "./library.ts";
import { listDevices, loadLibrary } from "./library.ts";
import type { LibraryLogger } from "./library-log.ts";
import { measureLayouts } from "./measure-layouts.ts";
import { Model } from "./model.ts";
import { ModelLoadError } from "./model-load-error.ts";
import { MAX_PAGED_SEQ_IDS } from "./paged-memory.ts";
import { LlamaModelRunner } from "./runner.ts";

export interface LoadRunnerOptions {
  readonly modelPath: string;
  /** Served name. */
  readonly modelId: string;
  readonly backend: Backend | "auto";
  /** null takes the usable cores, which are also the most. */
  readonly numThreads: number | null;
  readonly kvMemoryBytes: number | null;
  readonly gpuMemoryUtilization: number;
  readonly maxModelLen: number | null;
  readonly maxNumSeqs: number | null;
  readonly cacheTypeK: CacheType;
  readonly cacheTypeV: CacheType;
  readonly kvLayout: KvLayout | "auto";
  /** A request's tokens depend on nothing but the request, the model and the build. */
  readonly isDeterministic: boolean;
  /** What earlier runs found out, for `kvLayout: "auto"`. */
  readonly layoutKnowledge?: LayoutKnowledge | null;
  readonly logger: LibraryLogger;
  readonly onProgress?: (progress: number) => void;
}

export interface LayoutKnowledge {
  readonly costs: LayoutCosts | null;
  /** Of all prompt tokens, the part that was found cached; null when there were too few to tell. */
  readonly sharedPart: number | null;
}

export interface LoadedRunner {
  readonly runner: LlamaModelRunner;
  readonly plan: MemoryPlan;
  /** What the layouts cost here, if that was measured now. */
  readonly layoutCosts: LayoutCosts | null;
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
  kvLayout: "auto",
  isDeterministic: false,
} as const;

/** Tokens of one model call: the library's own default, and the largest chunk that still gains speed on CPU. */
const MAX_NUM_BATCHED_TOKENS = 512;
/** With 64 rows and more ggml's CPU attention computes whole tiles of (row, cell) pairs, most of them masked. */
const MAX_CPU_DECODE_ROWS = 63;

/** In the streams layout, ids missing in a batch that cost less as rows of padding than as one more pass over the weights. */
const MAX_PADDING = 8;

/** Loads model and library, sizes the KV pool and warms up. Throws LibraryError, ModelLoadError or MemoryPlanError. */
export function loadRunner(options: LoadRunnerOptions): LoadedRunner {
  const facts = readFacts(options.modelPath);
  const library = loadLibrary(options);
  const memory = requireRoomForWeights(library, facts);
  const model = loadModel(library, facts, options);
  const capabilities = readCapabilities(library.llama, model, facts);
  if (options.isDeterministic && !capabilities.canTrim) {
    throw new ModelLoadError("--deterministic is not possible with a model whose memory cannot be cut.");
  }
  const layout = decideLayout({
    wanted: options.kvLayout,
    isDeterministic: options.isDeterministic,
    capabilities,
    sharedPart: options.layoutKnowledge?.sharedPart ?? null,
    plan: (kvLayout, maxModelLen: number | null = options.maxModelLen) =>
      planPool({ library, facts, options: { ...options, maxModelLen }, before: memory, kvLayout }),
    measure: (paged) =>
      options.layoutKnowledge?.costs ?? measureLayouts(library, model, contextOptions(options, paged)),
  });
  const { plan } = layout;
  const context = new Context(library, model, contextOptions(options, plan));
  const runner = new LlamaModelRunner({
    model,
    context,
    info: describeModel({ library, model, facts, layout, capabilities, options }),
    callRules: callRules(plan, library.backend, { ...options, ...capabilities }),
  });
  runner.warmUp();
  const notes = [
    ...library.notes.map((note) => `backend passed over: ${note}`),
    formatMemoryPlan(plan),
    `KV layout ${layout.layout}: ${layout.reason}`,
    ...describeDoubtfulOptions(options, runner.info),
  ];
  const wasMeasured = layout.costs !== options.layoutKnowledge?.costs;
  return { runner, plan, layoutCosts: wasMeasured ? layout.costs : null, notes };
}

function callRules(
  { kvLayout, maxNumSeqs, numStreams }: MemoryPlan,
  backend: Backend,
  { isDeterministic, canTrim }: { readonly isDeterministic: boolean; readonly canTrim: boolean },
): CallRules {
  const isPaged = kvLayout === "paged";
  return {
    maxDecodeRows: isPaged && backend === "cpu" ? MAX_CPU_DECODE_ROWS : MAX_NUM_BATCHED_TOKENS,
    maxTokens: MAX_NUM_BATCHED_TOKENS,
    maxOutputs: maxNumOutputs(maxNumSeqs),
    onePromptPerCall: !isPaged,
    // Padding is cut off again, which not every memory allows.
    maxPadding: isPaged || !canTrim ? 0 : isDeterministic ? numStreams : MAX_PADDING,
    rowMultiple: isDeterministic ? MAX_ROW_MULTIPLE : 1,
    numSeqIds: isPaged ? MAX_PAGED_SEQ_IDS : numStreams,
  };
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

interface PoolRequest {
  readonly library: LlamaLibrary;
  readonly facts: GgufFacts;
  readonly options: LoadRunnerOptions;
  /** Free memory before the weights were read. */
  readonly before: MemoryAmount;
  readonly kvLayout: KvLayout;
}

/** A GPU is asked again after the weights; RAM is not, since mapped weights still count as available there. */
function planPool({ library, facts, options, before, kvLayout }: PoolRequest): MemoryPlan {
  const isGpu = library.backend !== "cpu";
  return planMemory({
    isGpu,
    kvLayout,
    streamMultiple: options.isDeterministic ? MAX_ROW_MULTIPLE : 1,
    shape: facts,
    weightsBytes: facts.weightsBytes,
    memory: isGpu ? gpuMemory(library) : { ...before, freeBytes: before.freeBytes - facts.weightsBytes },
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

/** With it, which kernel computes a token depends on how many others are in the call (docs/numerics.md). */
function usesFlashAttention({ isDeterministic }: LoadRunnerOptions): boolean {
  return !isDeterministic;
}

function contextOptions(options: LoadRunnerOptions, plan: MemoryPlan): ContextOptions {
  return {
    layout: plan.kvLayout,
    numCells: plan.numBlocks * plan.blockSize,
    numStreams: plan.numStreams,
    maxNumSeqs: plan.maxNumSeqs,
    maxNumBatchedTokens: MAX_NUM_BATCHED_TOKENS,
    maxNumOutputs: maxNumOutputs(plan.maxNumSeqs),
    numThreads: boundedThreads(options.numThreads),
    flashAttention: usesFlashAttention(options),
    cacheTypeK: options.cacheTypeK,
    cacheTypeV: options.cacheTypeV,
  };
}

/** In streams sharing is copying, and of a sliding window the library copies only the latest positions. */
function inLayout(capabilities: MemoryCapabilities, layout: KvLayout): MemoryCapabilities {
  const { canShare, hasSlidingWindow } = capabilities;
  return { ...capabilities, canShare: canShare && (layout === "paged" || !hasSlidingWindow) };
}

interface Loaded {
  readonly library: LlamaLibrary;
  readonly model: Model;
  readonly facts: GgufFacts;
  readonly layout: DecidedLayout;
  readonly capabilities: MemoryCapabilities;
  readonly options: LoadRunnerOptions;
}

function describeModel({ library, model, facts, layout, capabilities, options }: Loaded): ModelInfo {
  const { plan } = layout;
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
    numThreads: boundedThreads(options.numThreads),
    flashAttention: usesFlashAttention(options),
    kvLayout: layout.layout,
    kvLayoutReason: layout.reason,
    isDeterministic: options.isDeterministic,
    capabilities: inLayout(capabilities, layout.layout),
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
