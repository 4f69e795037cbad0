import type { Sample, SequenceView } from "../../scheduler/contracts.ts";
import type { SamplingParams } from "../../scheduler/sampling-params.ts";
import { Adjustments } from "./adjustments.ts";
import { keyedUniform } from "./keyed-random.ts";
import { rowLogprobs } from "./logprobs.ts";
import { MassTable } from "./mass-table.ts";
import { TokenCounts } from "./token-counts.ts";
import { argmax, selectTop } from "./top-tokens.ts";

export interface SamplerOptions {
  readonly vocabSize: number;
  readonly eogTokenIds: readonly number[];
}

/**
 * Draws one token from a row of logits. In order, as vLLM does: bias, penalties, temperature, min-p, top-k, top-p,
 * draw. The result depends on the logits and the sequence only, never on earlier calls: what it keeps of a sequence
 * can be counted again from its tokens.
 */
export class Sampler {
  readonly #eogTokenIds: readonly number[];
  readonly #masses: MassTable;
  readonly #adjustments = new Adjustments();
  readonly #counts = new WeakMap<SequenceView, TokenCounts>();

  constructor({ vocabSize, eogTokenIds }: SamplerOptions) {
    this.#eogTokenIds = eogTokenIds;
    this.#masses = new MassTable(vocabSize);
  }

  /** `logits` is changed while this runs and is as before afterwards. */
  sample(logits: Float32Array, sequence: SequenceView): Sample {
    const { sampling, requestId } = sequence;
    this.#adjust(logits, sequence);
    const tokenId = this.#pick(logits, sequence);
    this.#adjustments.restore(logits);
    if (sampling.topLogprobs === null) return { requestId, tokenId, logprob: null, topLogprobs: [] };
    const { token, top } = rowLogprobs(logits, tokenId, sampling.topLogprobs);
    return { requestId, tokenId, logprob: token.logprob, topLogprobs: top };
  }

  #adjust(logits: Float32Array, sequence: SequenceView): void {
    const { sampling, tokens, numPromptTokens } = sequence;
    this.#adjustments.addBias(logits, sampling.logitBias);
    if (hasPenalties(sampling)) {
      const counts = this.#countsOf(sequence);
      counts.update(tokens, numPromptTokens);
      this.#adjustments.addPenalties(logits, sampling, counts);
    }
    if (tokens.length - numPromptTokens < sampling.minTokens) {
      this.#adjustments.forbid(logits, this.#eogTokenIds);
      this.#adjustments.forbid(logits, sampling.stopTokenIds);
    }
  }

  #countsOf(sequence: SequenceView): TokenCounts {
    let counts = this.#counts.get(sequence);
    if (counts === undefined) {
      counts = new TokenCounts();
      this.#counts.set(sequence, counts);
    }
    return counts;
  }

  #pick(logits: Float32Array, { sampling, tokens }: SequenceView): number {
    const { temperature, topK, topP, minP, seed, choiceIndex } = sampling;
    if (temperature === 0 || topK === 1) return argmax(logits);
    const uniform = keyedUniform(seed, choiceIndex, tokens.length);
    if (topK > 0 && topK < logits.length) return drawFromTop(logits, sampling, uniform);
    if (!this.#masses.build(logits, temperature)) return argmax(logits);
    if (minP > 0) this.#masses.cutMinP(minP);
    if (topP < 1) this.#masses.cutTopP(topP);
    return this.#masses.draw(uniform);
  }
}

function hasPenalties({ repetitionPenalty, presencePenalty, frequencyPenalty }: SamplingParams): boolean {
  return repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0;
}

/** With top-k the rest of the chain needs only k candidates, in descending order, so every later cut is a prefix. */
function drawFromTop(logits: Float32Array, sampling: SamplingParams, uniform: number): number {
  const { topK, topP, minP, temperature } = sampling;
  const candidates = selectTop(logits, topK);
  const best = logits[candidates[0] ?? 0]!;
  if (candidates.length === 0 || best === Infinity) return argmax(logits);
  const masses: number[] = [];
  let total = 0;
  for (const token of candidates) {
    const mass = Math.exp((logits[token]! - best) / temperature);
    if (mass < minP) break;
    masses.push(mass);
    total += mass;
  }
  if (topP < 1) total = keepNucleus(masses, topP * total);
  let rest = uniform * total;
  const place = masses.findIndex((mass) => (rest -= mass) < 0);
  return candidates[place === -1 ? masses.length - 1 : place]!;
}

/** Shortens `masses` to the smallest prefix that reaches `target` and returns its sum. */
function keepNucleus(masses: number[], target: number): number {
  let sum = 0;
  for (const [index, mass] of masses.entries()) {
    sum += mass;
    if (sum >= target) {
      masses.length = index + 1;
      break;
    }
  }
  return sum;
}
