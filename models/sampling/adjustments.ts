import type { SamplingParams } from "../../scheduler/sampling-params.ts";
import type { TokenCounts } from "./token-counts.ts";

/** Changes of single logits that can be taken back: the row is the library's memory, and logprobs need it as it was. */
export class Adjustments {
  readonly #tokens: number[] = [];
  readonly #originals: number[] = [];

  /** Adds the client's bias to each token. */
  addBias(logits: Float32Array, bias: SamplingParams["logitBias"]): void {
    for (const [token, value] of bias) this.#set(logits, token, (logit) => logit + value);
  }

  /** Repetition over prompt and output; presence and frequency over the output (as vLLM and OpenAI define them). */
  addPenalties(logits: Float32Array, sampling: SamplingParams, counts: TokenCounts): void {
    const { repetitionPenalty, presencePenalty, frequencyPenalty } = sampling;
    for (const [token, numGenerated] of counts.entries()) {
      const penalty = numGenerated > 0 ? presencePenalty + frequencyPenalty * numGenerated : 0;
      this.#set(logits, token, (logit) => {
        const scaled = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
        return scaled - penalty;
      });
    }
  }

  /** Makes tokens impossible. */
  forbid(logits: Float32Array, tokens: readonly number[]): void {
    for (const token of tokens) this.#set(logits, token, () => -Infinity);
  }

  /** Takes everything back, the latest change first. */
  restore(logits: Float32Array): void {
    for (let index = this.#tokens.length - 1; index >= 0; index -= 1) {
      logits[this.#tokens[index]!] = this.#originals[index]!;
    }
    this.#tokens.length = 0;
    this.#originals.length = 0;
  }

  #set(logits: Float32Array, token: number, change: (logit: number) => number): void {
    const logit = logits[token];
    if (logit === undefined) return;
    this.#tokens.push(token);
    this.#originals.push(logit);
    logits[token] = change(logit);
  }
}
