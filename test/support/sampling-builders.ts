import type { SequenceView } from "../../scheduler/contracts.ts";
import { GREEDY_SAMPLING, type SamplingParams } from "../../scheduler/sampling-params.ts";

/** Greedy, nothing cut, nothing reported. */
export function samplingParams(overrides: Partial<SamplingParams> = {}): SamplingParams {
  return { ...GREEDY_SAMPLING, seed: 1, ...overrides };
}

export interface SequenceOverrides extends Partial<Omit<SequenceView, "sampling" | "tokens">> {
  readonly tokens?: number[];
  readonly sampling?: Partial<SamplingParams>;
}

/** A sequence whose tokens the test may add to. */
export function sequenceView(overrides: SequenceOverrides = {}): SequenceView & { tokens: number[] } {
  const tokens = overrides.tokens ?? [0];
  return {
    requestId: overrides.requestId ?? "request",
    seqId: overrides.seqId ?? 0,
    tokens,
    numPromptTokens: overrides.numPromptTokens ?? tokens.length,
    sampling: samplingParams(overrides.sampling),
  };
}

/** Logits drawn from a bell curve, the same for the same seed. */
export function randomLogits(length: number, scale: number, seed: number): Float32Array {
  let state = seed >>> 0;
  const uniform = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return Float32Array.from(
    { length },
    () => scale * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
  );
}
