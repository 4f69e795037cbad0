import type { TokenLogprob } from "../../scheduler/contracts.ts";
import { NUM_STEPS, STEPS_PER_NAT, exp2Steps } from "./exp2-table.ts";
import { argmax, selectTop } from "./top-tokens.ts";

/**
 * Logprobs are those of the model itself: log-softmax of the logits before bias, penalties, temperature and truncation
 * (what vLLM calls raw_logprobs).
 */
export interface RowLogprobs {
  readonly token: TokenLogprob;
  /** Descending. */
  readonly top: readonly TokenLogprob[];
}

export function rowLogprobs(logits: Float32Array, tokenId: number, numTop: number): RowLogprobs {
  const normalizer = logSumExp(logits);
  const entry = (id: number): TokenLogprob => ({ tokenId: id, logprob: logits[id]! - normalizer });
  return { token: entry(tokenId), top: numTop > 0 ? selectTop(logits, numTop).map(entry) : [] };
}

/** ln of the sum of e^x; terms below e^-27 of the largest are left out. */
export function logSumExp(logits: Float32Array): number {
  const max = logits[argmax(logits)] ?? -Infinity;
  let sum = 0;
  for (let token = 0; token < logits.length; token += 1) {
    const steps = (max - logits[token]!) * STEPS_PER_NAT;
    if (steps < NUM_STEPS) sum += exp2Steps(steps);
  }
  return max + Math.log(sum);
}
