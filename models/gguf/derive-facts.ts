import { GGMLFileQuantizationType } from "@huggingface/gguf";

import { GgufError, quote } from "./gguf-error.ts";
import type { GgufFacts, RopeFacts, TokenizerFacts } from "./gguf-facts.ts";
import { MAX_EXPERTS, MAX_LAYERS, refuseAbortingTensors, refuseAbortingValues } from "./library-limits.ts";
import { MetadataView } from "./metadata-view.ts";
import type { Metadata } from "./metadata.ts";
import type { TensorInfo } from "./tensors.ts";

const MAX_INT32 = 2 ** 31 - 1;

/** Keys that only architectures with recurrent layers have. */
const RECURRENT_KEYS = [
  "ssm.conv_kernel",
  "ssm.state_size",
  "wkv.head_size",
  "shortconv.l_cache",
  "kda.head_dim",
];

/** A model's header after its parts were joined. */
export interface ModelHeader {
  readonly files: readonly string[];
  readonly version: number;
  readonly metadata: Metadata;
  readonly tensors: readonly TensorInfo[];
  readonly sizeBytes: number;
}

/** Throws {@link GgufError} where the header contradicts itself or lacks what every text model has. */
export function deriveFacts(header: ModelHeader): GgufFacts {
  const view = new MetadataView(header.metadata);
  const architecture = requireArchitecture(view);
  const dominantTensorType = findDominantType(header.tensors);
  const attention = readAttention(view, architecture);
  const experts = readExperts(view, architecture);
  refuseAbortingValues(view, architecture, { ...attention, ...experts });
  refuseAbortingTensors(header.tensors);
  return {
    files: header.files,
    version: header.version,
    architecture,
    name: view.text("general.name"),
    license: view.text("general.license"),
    numParameters: sum(header.tensors, (tensor) => tensor.numElements),
    weightsBytes: sum(header.tensors, (tensor) => tensor.sizeBytes),
    sizeBytes: header.sizeBytes,
    quantization: fileTypeName(view) ?? dominantTensorType,
    dominantTensorType,
    contextLength: view.count(`${architecture}.context_length`, MAX_INT32),
    ...attention,
    ...experts,
    vocabSize: readVocabSize(view, architecture),
    rope: readRope(view, architecture),
    tokenizer: readTokenizer(view),
    chatTemplate: view.text("tokenizer.chat_template"),
    hasRecurrentState: RECURRENT_KEYS.some((key) => view.has(`${architecture}.${key}`)),
    isCausal: view.boolean(`${architecture}.attention.causal`) ?? true,
  };
}

function requireArchitecture(view: MetadataView): string {
  const architecture = view.text("general.architecture");
  if (architecture === null) throw new GgufError("bad-value", "it names no general.architecture");
  if (/^[\w.-]{1,64}$/.test(architecture)) return architecture;
  throw new GgufError("bad-value", `its general.architecture ${quote(architecture)} is no architecture name`);
}

function sum(tensors: readonly TensorInfo[], measure: (tensor: TensorInfo) => number): number {
  return tensors.reduce((total, tensor) => total + measure(tensor), 0);
}

function findDominantType(tensors: readonly TensorInfo[]): string {
  const bytesByType = new Map<string, number>();
  for (const { type, sizeBytes } of tensors) {
    bytesByType.set(type.name, (bytesByType.get(type.name) ?? 0) + sizeBytes);
  }
  const [largest] = [...bytesByType].sort(([, a], [, b]) => b - a);
  if (largest === undefined) throw new GgufError("bad-count", "it holds no tensors");
  return largest[0];
}

function fileTypeName(view: MetadataView): string | null {
  const fileType = view.number("general.file_type");
  return fileType === null ? null : (GGMLFileQuantizationType[fileType] ?? null);
}

function readExperts(
  view: MetadataView,
  architecture: string,
): Pick<GgufFacts, "numExperts" | "numExpertsUsed"> {
  const numLayers = readNumLayers(view, architecture);
  const numExperts = view.count(`${architecture}.expert_count`, MAX_EXPERTS) ?? 0;
  const used = view.countPerLayer(`${architecture}.expert_used_count`, numLayers, numExperts) ?? [0];
  const numExpertsUsed = Math.max(...used);
  if (numExperts > 0 && numExpertsUsed === 0)
    throw new GgufError("bad-value", "it has experts but uses none of them");
  return { numExperts, numExpertsUsed };
}

function readNumLayers(view: MetadataView, architecture: string): number {
  const numLayers = view.count(`${architecture}.block_count`, MAX_LAYERS) ?? 0;
  if (numLayers > 0) return numLayers;
  throw new GgufError("bad-value", `it has no ${architecture}.block_count above 0, so it is no text model`);
}

type AttentionFacts = Pick<
  GgufFacts,
  | "embeddingLength"
  | "numLayers"
  | "numHeads"
  | "numKvHeadsPerLayer"
  | "keyLength"
  | "valueLength"
  | "feedForwardLength"
  | "slidingWindow"
  | "usesLatentAttention"
>;

/** Defaults as in llama_model_base::load_hparams of llama.cpp. */
function readAttention(view: MetadataView, architecture: string): AttentionFacts {
  const numLayers = readNumLayers(view, architecture);
  const count = (key: string): number | null => view.count(`${architecture}.${key}`, MAX_INT32);
  const perLayer = (key: string): number[] | null =>
    view.countPerLayer(`${architecture}.${key}`, numLayers, MAX_INT32);
  const embeddingLength = count("embedding_length") ?? 0;
  if (embeddingLength === 0)
    throw new GgufError("bad-value", `it has no ${architecture}.embedding_length above 0`);
  const numHeadsPerLayer = perLayer("attention.head_count") ?? [0];
  const numHeads = Math.max(...numHeadsPerLayer);
  const defaultLength = numHeads > 0 ? Math.floor(embeddingLength / numHeads) : 0;
  return {
    embeddingLength,
    numLayers,
    numHeads,
    numKvHeadsPerLayer: perLayer("attention.head_count_kv") ?? numHeadsPerLayer,
    keyLength: count("attention.key_length") ?? defaultLength,
    valueLength: count("attention.value_length") ?? defaultLength,
    feedForwardLength: Math.max(...(perLayer("feed_forward_length") ?? [0])),
    slidingWindow: count("attention.sliding_window") || null,
    usesLatentAttention: (count("attention.key_length_mla") ?? 0) > 0,
  };
}

function readVocabSize(view: MetadataView, architecture: string): number | null {
  return view.arrayLength("tokenizer.ggml.tokens") ?? view.count(`${architecture}.vocab_size`, MAX_INT32);
}

function readRope(view: MetadataView, architecture: string): RopeFacts {
  return {
    dimensionCount: view.count(`${architecture}.rope.dimension_count`, MAX_INT32),
    freqBase: view.number(`${architecture}.rope.freq_base`),
    scalingType: view.text(`${architecture}.rope.scaling.type`),
    scalingFactor: view.number(`${architecture}.rope.scaling.factor`),
  };
}

function readTokenizer(view: MetadataView): TokenizerFacts {
  return {
    model: view.text("tokenizer.ggml.model"),
    pre: view.text("tokenizer.ggml.pre"),
    bosTokenId: view.count("tokenizer.ggml.bos_token_id", 2 ** 32),
    eosTokenId: view.count("tokenizer.ggml.eos_token_id", 2 ** 32),
  };
}
