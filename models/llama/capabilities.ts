import type { GgufFacts } from "../gguf/gguf-facts.ts";
import type { MemoryCapabilities } from "../model-info.ts";
import type { LlamaFunctions } from "./functions.ts";
import type { Model } from "./model.ts";

/** Recurrent state is a summary of all tokens, so it has no prefix to share and no end to cut off. */
export function readCapabilities(llama: LlamaFunctions, model: Model, facts: GgufFacts): MemoryCapabilities {
  const isRecurrent =
    llama.llama_model_is_recurrent(model.pointer) || llama.llama_model_is_hybrid(model.pointer);
  return {
    canTrim: !isRecurrent,
    canShare: !isRecurrent,
    hasSlidingWindow: llama.llama_model_n_swa(model.pointer) > 0,
    isRecurrent,
    isCausal: facts.isCausal,
  };
}

/** Why the model cannot generate text, or null. */
export function findUnsupportedKind(llama: LlamaFunctions, model: Model, facts: GgufFacts): string | null {
  if (llama.llama_model_has_encoder(model.pointer)) return "has an encoder; only decoder models are served";
  if (!llama.llama_model_has_decoder(model.pointer)) return "has no decoder; it cannot generate text";
  if (llama.llama_model_is_diffusion(model.pointer)) return "is a diffusion model; those are not served";
  if (!facts.isCausal) return "has no causal attention; it makes embeddings, not text";
  return null;
}
