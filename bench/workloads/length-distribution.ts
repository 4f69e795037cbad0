import type { Random } from "../seeded-random.ts";

import { logNormal, uniformInteger } from "../seeded-random.ts";

/** Token counts: always the same, uniform in [min, max], or log-normal (median, sigma of the logarithm). */
export type LengthDistribution =
  | { kind: "fixed"; tokens: number }
  | { kind: "uniform"; min: number; max: number }
  | { kind: "lognormal"; median: number; sigma: number };

export const LENGTH_HELP = "'128' (fixed), '64-256' (uniform) or '100~1.2' (log-normal: median ~ sigma)";

export function parseLength(text: string): LengthDistribution {
  const fixed = /^\d+$/.exec(text);
  if (fixed !== null && Number(text) > 0) return { kind: "fixed", tokens: Number(text) };
  const range = /^(\d+)-(\d+)$/.exec(text);
  if (range !== null) {
    const [min, max] = [Number(range[1]), Number(range[2])];
    if (min > 0 && min <= max) return { kind: "uniform", min, max };
  }
  const spread = /^(\d+)~(\d*\.?\d+)$/.exec(text);
  if (spread !== null) return { kind: "lognormal", median: Number(spread[1]), sigma: Number(spread[2]) };
  throw new RangeError(`not a length: '${text}', expected ${LENGTH_HELP}`);
}

/** Draws a length, at least 1 and at most `max`. */
export function drawLength(distribution: LengthDistribution, random: Random, max: number): number {
  return Math.min(max, Math.max(1, Math.round(draw(distribution, random))));
}

function draw(distribution: LengthDistribution, random: Random): number {
  switch (distribution.kind) {
    case "fixed":
      return distribution.tokens;
    case "uniform":
      return uniformInteger(random, distribution.min, distribution.max);
    case "lognormal":
      return logNormal(random, distribution.median, distribution.sigma);
  }
}
