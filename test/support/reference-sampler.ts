import type { SamplingParams } from "../../scheduler/sampling-params.ts";

type Cuts = Pick<SamplingParams, "temperature" | "minP" | "topK" | "topP">;

/** The distribution a token is to be drawn from, written down naively: sort everything, cut, normalize. */
export function referenceDistribution(logits: Float32Array, cuts: Cuts): Map<number, number> {
  const tokens = Array.from(logits.keys()).filter((token) => logits[token]! > -Infinity);
  tokens.sort((a, b) => logits[b]! - logits[a]! || a - b);
  const best = logits[tokens[0]!]!;
  let kept = tokens.map((token) => [token, Math.exp((logits[token]! - best) / cuts.temperature)] as const);
  if (cuts.minP > 0) kept = kept.filter(([, mass]) => mass >= cuts.minP);
  if (cuts.topK > 0) kept = kept.slice(0, cuts.topK);
  if (cuts.topP < 1) kept = nucleus(kept, cuts.topP);
  const total = kept.reduce((sum, [, mass]) => sum + mass, 0);
  return new Map(kept.map(([token, mass]) => [token, mass / total]));
}

function nucleus(masses: (readonly [number, number])[], topP: number): (readonly [number, number])[] {
  const target = topP * masses.reduce((sum, [, mass]) => sum + mass, 0);
  let sum = 0;
  const last = masses.findIndex(([, mass]) => (sum += mass) >= target);
  return last === -1 ? masses : masses.slice(0, last + 1);
}
