import type { GgufFacts } from "./gguf-facts.ts";
import { tensorTypeByName } from "./tensor-type.ts";

/** Types that libllama can hold its KV cache in. */
export const KV_CACHE_TYPES = [
  "f32",
  "f16",
  "bf16",
  "q8_0",
  "q4_0",
  "q4_1",
  "iq4_nl",
  "q5_0",
  "q5_1",
] as const;
export type KvCacheType = (typeof KV_CACHE_TYPES)[number];

type KvShape = Pick<GgufFacts, "numKvHeadsPerLayer" | "keyLength" | "valueLength" | "usesLatentAttention">;

/**
 * Bytes of KV cache that one token takes in all layers together. An upper bound for models whose layers
 * share their cache or see a window only; exact for all others (llama-kv-cache.cpp of llama.cpp).
 */
export function kvBytesPerToken(
  facts: KvShape,
  typeK: KvCacheType = "f16",
  typeV: KvCacheType = typeK,
): number {
  const numHeads = facts.numKvHeadsPerLayer.reduce((sum, heads) => sum + heads, 0);
  const keyBytes = numHeads * facts.keyLength * bytesPerElement(typeK);
  const valueBytes = facts.usesLatentAttention ? 0 : numHeads * facts.valueLength * bytesPerElement(typeV);
  return Math.ceil(keyBytes + valueBytes);
}

function bytesPerElement(name: KvCacheType): number {
  const type = tensorTypeByName(name);
  if (type === undefined) throw new RangeError(`${name} is no tensor type`);
  return type.blockBytes / type.blockLength;
}
