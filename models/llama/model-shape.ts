import type { MemoryCapabilities } from "../model-info.ts";
import type { ModelShape } from "../memory-plan.ts";
import type { LlamaFunctions } from "./functions.ts";
import type { Model } from "./model.ts";

/** Reads the numbers that decide memory from the library and the GGUF's metadata. */
export function readModelShape(llama: LlamaFunctions, model: Model): ModelShape {
  const architecture = model.metadata("general.architecture") ?? "";
  const embeddingLength = llama.llama_model_n_embd(model.pointer);
  const numHeads = Math.max(1, llama.llama_model_n_head(model.pointer));
  const read = (key: string, fallback: number): number => {
    const value = Number(model.metadata(`${architecture}.${key}`));
    return value > 0 ? value : fallback;
  };
  const headLength = embeddingLength / numHeads;
  return {
    numLayers: llama.llama_model_n_layer(model.pointer),
    numHeads,
    numKvHeads: llama.llama_model_n_head_kv(model.pointer),
    keyLength: read("attention.key_length", headLength),
    valueLength: read("attention.value_length", headLength),
    embeddingLength,
    feedForwardLength: read("feed_forward_length", 4 * embeddingLength),
    vocabSize: llama.llama_vocab_n_tokens(model.vocab),
    trainedContextLength: llama.llama_model_n_ctx_train(model.pointer),
  };
}

/** Recurrent state is a summary of all tokens, so it has no prefix to share and no end to cut off. */
export function readCapabilities(llama: LlamaFunctions, model: Model): MemoryCapabilities {
  const isRecurrent =
    llama.llama_model_is_recurrent(model.pointer) || llama.llama_model_is_hybrid(model.pointer);
  const architecture = model.metadata("general.architecture") ?? "";
  return {
    canTrim: !isRecurrent,
    canShare: !isRecurrent,
    hasSlidingWindow: llama.llama_model_n_swa(model.pointer) > 0,
    isRecurrent,
    isCausal: model.metadata(`${architecture}.attention.causal`) !== "false",
  };
}

/** Why the model cannot generate text, or null. */
export function findUnsupportedKind(llama: LlamaFunctions, model: Model): string | null {
  if (llama.llama_model_has_encoder(model.pointer)) return "has an encoder; only decoder models are served";
  if (!llama.llama_model_has_decoder(model.pointer)) return "has no decoder; it cannot generate text";
  if (llama.llama_model_is_diffusion(model.pointer)) return "is a diffusion model; those are not served";
  if (!readCapabilities(llama, model).isCausal)
    return "has no causal attention; it makes embeddings, not text";
  return null;
}
