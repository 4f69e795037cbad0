import assert from "node:assert/strict";

/**
 * Greedy tokens may differ from those of a run alone only where the two best were this close, in nats: logits change a
 * little with the batch (docs/numerics.md).
 */
const NEAR_TIE_NATS = 0.5;

interface Logprobs {
  readonly tokens: readonly string[];
  readonly top_logprobs: readonly Record<string, number>[];
}

/** Greedy output of one request. */
export interface GreedyAnswer {
  readonly tokens: readonly string[];
  /** Distance of the two best tokens at each position. */
  readonly gaps: readonly number[];
}

export interface GreedyRequest {
  readonly prompt: string;
  readonly maxTokens: number;
  readonly ignoreEos?: boolean;
  /** Requests share cached prefixes with those of the same salt only. */
  readonly cacheSalt?: string;
}

/** Runs a completion with temperature 0. Rejects with a TimeoutError when `signal` fires. */
export async function completeGreedily(
  url: string,
  { prompt, maxTokens, ignoreEos = false, cacheSalt }: GreedyRequest,
  signal?: AbortSignal,
): Promise<GreedyAnswer> {
  const response = await fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      prompt,
      max_tokens: maxTokens,
      ignore_eos: ignoreEos,
      temperature: 0,
      logprobs: 2,
      cache_salt: cacheSalt,
    }),
    ...(signal ? { signal } : {}),
  });
  assert.equal(response.status, 200);
  const { logprobs } = ((await response.json()) as { choices: { logprobs: Logprobs }[] }).choices[0]!;
  const gaps = logprobs.top_logprobs.map((top) => {
    const [best, second] = Object.values(top).toSorted((left, right) => right - left);
    return best! - (second ?? -Infinity);
  });
  return { tokens: logprobs.tokens, gaps };
}

/** Asserts that an answer equals that of a run alone, up to the first token that was a near tie. */
export function assertSameAnswer(answer: Pick<GreedyAnswer, "tokens">, alone: GreedyAnswer): void {
  const split = alone.tokens.findIndex((token, index) => token !== answer.tokens[index]);
  if (split === -1) {
    assert.equal(answer.tokens.length, alone.tokens.length);
    return;
  }
  const gap = alone.gaps[split]!;
  assert.ok(gap < NEAR_TIE_NATS, `token ${split} differs at a gap of ${gap} nats`);
}
