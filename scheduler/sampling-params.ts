/**
 * How one sequence picks its tokens. Values are already validated and defaulted:
 * nothing below the API edge checks them again.
 */
export interface SamplingParams {
  /** 0 means greedy. */
  readonly temperature: number;
  /** 0 means no limit. */
  readonly topK: number;
  /** Nucleus mass in (0, 1]; 1 means off. */
  readonly topP: number;
  /** Keep tokens with p >= minP * p(max); 0 means off. */
  readonly minP: number;
  /** Divides (or multiplies) logits of tokens seen in prompt and output; 1 means off (CTRL, arXiv 1909.05858). */
  readonly repetitionPenalty: number;
  /** Subtracted once from logits of tokens already generated. */
  readonly presencePenalty: number;
  /** Subtracted per occurrence from logits of tokens already generated. */
  readonly frequencyPenalty: number;
  /** Pairs of token id and additive bias. */
  readonly logitBias: readonly (readonly [number, number])[];
  /** Folded to an unsigned 32-bit number; randomness is keyed by (seed, choiceIndex, position). */
  readonly seed: number;
  /** Index of the choice among the n of its request. */
  readonly choiceIndex: number;
  /** Number of alternatives to report with each token; null means no logprobs at all. */
  readonly topLogprobs: number | null;
  /** Number of alternatives to report for each prompt token; null means none (the scoring path of evaluation tools). */
  readonly promptLogprobs: number | null;
  readonly stopTokenIds: readonly number[];
  /** Go on after an end-of-generation token (which is then an ordinary token). */
  readonly ignoreEos: boolean;
  /** End-of-generation and stop tokens are impossible before this many tokens. */
  readonly minTokens: number;
}

/** Always the likeliest token, and nothing else asked for. */
export const GREEDY_SAMPLING: SamplingParams = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: [],
  seed: 0,
  choiceIndex: 0,
  topLogprobs: null,
  promptLogprobs: null,
  stopTokenIds: [],
  ignoreEos: false,
  minTokens: 0,
};
