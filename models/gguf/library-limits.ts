import { GgufError, quote } from "./gguf-error.ts";
import type { MetadataView } from "./metadata-view.ts";
import type { TensorInfo } from "./tensors.ts";

/** Limits of libllama (src/llama-hparams.h). */
export const MAX_LAYERS = 512;
export const MAX_EXPERTS = 1024;

const EPSILON_KEYS = ["attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon"];
const ROPE_SCALING_TYPES = new Set(["none", "linear", "yarn", "longrope"]);

/**
 * Refuses values at which libllama aborts its process instead of failing
 * (llama_model_base::load_hparams in src/llama-model.cpp). Layers and experts are counted already.
 */
export function refuseAbortingValues(
  view: MetadataView,
  architecture: string,
  counts: { numLayers: number; numExperts: number },
): void {
  view.count(`${architecture}.nextn_predict_layers`, counts.numLayers);
  requireRopeScaling(view.text(`${architecture}.rope.scaling.type`));
  requireExpertGroups(view, architecture, counts.numExperts);
  for (const key of EPSILON_KEYS) requireEpsilon(view, `${architecture}.${key}`);
}

/** ggml's CPU code multiplies by these weights in F32 and aborts at other types; no converter writes them. */
export function refuseAbortingTensors(tensors: readonly TensorInfo[]): void {
  const wrong = tensors.find(({ name, type }) => name.endsWith("_norm.weight") && type.name !== "F32");
  if (wrong === undefined) return;
  throw new GgufError("bad-tensor", `tensor ${quote(wrong.name)} must be F32, not ${wrong.type.name}`);
}

function requireEpsilon(view: MetadataView, key: string): void {
  const epsilon = view.number(key);
  if (epsilon === null || epsilon >= 0) return;
  throw new GgufError("bad-value", `key ${quote(key)} is ${epsilon}; it must not be negative`);
}

function requireRopeScaling(scalingType: string | null): void {
  if (scalingType === null || ROPE_SCALING_TYPES.has(scalingType)) return;
  throw new GgufError("bad-value", `its rope scaling type ${quote(scalingType)} is unknown`);
}

function requireExpertGroups(view: MetadataView, architecture: string, numExperts: number): void {
  const numGroups = view.count(`${architecture}.expert_group_count`, Math.max(numExperts - 1, 0)) ?? 0;
  const numUsed = view.count(`${architecture}.expert_group_used_count`, MAX_EXPERTS) ?? 0;
  if (numGroups <= 1) return;
  if (numExperts % numGroups === 0 && numUsed > 0 && numUsed < numGroups) return;
  throw new GgufError(
    "bad-value",
    `its ${numExperts} experts cannot be used in ${numUsed} of ${numGroups} groups`,
  );
}
