/**
 * Powers of two for exponents -t / STEPS_PER_OCTAVE, 0 <= t < NUM_STEPS: a table for the whole part of t and a cubic
 * for the rest. Math.exp costs about three times as much, and a row of logits needs one for every token.
 * Relative error below 1e-8.
 */
export const STEPS_PER_OCTAVE = 32;
/** 40 octaves: what is 10^-12 times as likely as the best token counts as impossible. */
export const NUM_STEPS = 40 * STEPS_PER_OCTAVE;

const LN2_PER_STEP = Math.LN2 / STEPS_PER_OCTAVE;
const POWERS = Float64Array.from({ length: NUM_STEPS }, (_, step) => 2 ** (-step / STEPS_PER_OCTAVE));

/** Steps in one nat. */
export const STEPS_PER_NAT = 1 / LN2_PER_STEP;

export function exp2Steps(t: number): number {
  const step = t | 0;
  const z = (t - step) * LN2_PER_STEP;
  return POWERS[step]! * (1 - z * (1 - z * (0.5 - z * (1 / 6))));
}
