import type { GenerationSummary } from "../../engine/generation.ts";

export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
  readonly completion_tokens_details: { readonly reasoning_tokens: number };
}

export interface TokenCounts {
  readonly numPromptTokens: number;
  readonly numCachedTokens: number;
  readonly numGeneratedTokens: number;
}

export function toUsage(counts: TokenCounts): Usage {
  return {
    prompt_tokens: counts.numPromptTokens,
    completion_tokens: counts.numGeneratedTokens,
    total_tokens: counts.numPromptTokens + counts.numGeneratedTokens,
    prompt_tokens_details: { cached_tokens: counts.numCachedTokens },
    completion_tokens_details: { reasoning_tokens: 0 },
  };
}

/** llama-server's timings object. Every number is finite, also for 0 or 1 token. */
export function toTimings(
  counts: TokenCounts,
  times: Pick<GenerationSummary, "prefillMs" | "decodeMs">,
): Record<string, number> {
  const numPrompt = counts.numPromptTokens - counts.numCachedTokens;
  const numPredicted = counts.numGeneratedTokens;
  return {
    cache_n: counts.numCachedTokens,
    prompt_n: numPrompt,
    prompt_ms: round(times.prefillMs),
    prompt_per_token_ms: ratio(times.prefillMs, numPrompt),
    prompt_per_second: ratio(numPrompt * 1000, times.prefillMs),
    predicted_n: numPredicted,
    predicted_ms: round(times.decodeMs),
    predicted_per_token_ms: ratio(times.decodeMs, numPredicted),
    predicted_per_second: ratio(numPredicted * 1000, times.decodeMs),
  };
}

function ratio(value: number, divisor: number): number {
  return divisor > 0 ? round(value / divisor) : 0;
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
