import type { BatchRow, Sample } from "../../scheduler/contracts.ts";
import { sequenceView } from "./sampling-builders.ts";

/** Outweighs every logit. */
const FORCE = 1e6;

/**
 * A sequence that is made to say given tokens. Its samples carry the model's own logprobs of these, and of the two
 * best tokens, so runs in different batches can be compared token by token although their own choices would differ.
 */
export class ForcedSequence {
  readonly view: ReturnType<typeof sequenceView>;
  readonly samples: Sample[] = [];
  readonly #forced: readonly number[];
  readonly #bias: [number, number][] = [];
  #numComputed: number;

  constructor(seqId: number, prompt: readonly number[], forced: readonly number[], numCached = 0) {
    this.#forced = forced;
    this.#numComputed = numCached;
    this.view = sequenceView({
      requestId: `request-${seqId}`,
      seqId,
      tokens: [...prompt],
      sampling: { logitBias: this.#bias, topLogprobs: 2 },
    });
  }

  get isDone(): boolean {
    return this.samples.length >= this.#forced.length;
  }

  get isPrefilled(): boolean {
    return this.samples.length > 0;
  }

  /** The next tokens, at most `maxTokens`; the row draws when it reaches the end. */
  row(maxTokens = Infinity): BatchRow {
    const start = this.#numComputed;
    const numTokens = Math.min(maxTokens, this.view.tokens.length - start);
    const sample = start + numTokens === this.view.tokens.length;
    this.#numComputed += numTokens;
    this.#bias.length = 0;
    const next = this.#forced[this.samples.length];
    if (next !== undefined) this.#bias.push([next, FORCE]);
    return { sequence: this.view, start, numTokens, logits: sample ? "last" : "none", sample };
  }

  take(sample: Sample): void {
    this.samples.push(sample);
    this.view.tokens.push(sample.tokenId);
  }

  /** As after a preemption: nothing is computed any more, or only what `numKept` tokens hold. */
  rewind(numKept = 0): void {
    this.#numComputed = numKept;
  }
}
