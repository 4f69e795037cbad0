/**
 * How the arrival rate changes over time. Rates are requests per second, times are seconds.
 * A burst sends `size` requests at the same moment, every `everySeconds`.
 */
export type LoadShape =
  | { kind: "steady"; rate: number }
  | { kind: "ramp"; fromRate: number; toRate: number; seconds: number }
  | { kind: "stairs"; rates: readonly number[]; stepSeconds: number }
  | { kind: "burst"; size: number; everySeconds: number };

export const LOAD_SHAPE_HELP =
  "'steady' (uses --rate), 'ramp:1-10@60' (1 to 10 requests/s over 60 s, then steady), " +
  "'stairs:1,2,4@30' (30 s at each rate) or 'burst:16@5' (16 at once every 5 s)";

/** Reads the notation of `--shape`; throws RangeError with the expected form. */
export function parseLoadShape(text: string, rate: number | null): LoadShape {
  const [kind, argument = ""] = text.split(":", 2) as [string, string?];
  const [values = "", seconds = ""] = argument.split("@", 2);
  const shape = readShape({ kind, values, seconds: Number(seconds), rate });
  if (shape === null) throw new RangeError(`unknown load shape '${text}': expected ${LOAD_SHAPE_HELP}`);
  return shape;
}

interface ShapeParts {
  kind: string;
  values: string;
  seconds: number;
  rate: number | null;
}

function readShape({ kind, values, seconds, rate }: ShapeParts): LoadShape | null {
  if (kind === "steady") return rate === null ? null : { kind, rate };
  if (!(seconds > 0)) return null;
  if (kind === "ramp") {
    const [fromRate = Number.NaN, toRate = Number.NaN] = values.split("-").map(Number);
    if (!(fromRate >= 0 && toRate > 0)) return null;
    return { kind, fromRate, toRate, seconds };
  }
  if (kind === "stairs") {
    const rates = values.split(",").map(Number);
    return rates.every((each) => each > 0) ? { kind, rates, stepSeconds: seconds } : null;
  }
  const size = Number(values);
  if (kind !== "burst" || !Number.isInteger(size) || size < 1) return null;
  return { kind, size, everySeconds: seconds };
}

/**
 * The time (seconds) at which the expected number of arrivals reaches `count`: the inverse of the
 * integrated rate. A unit-rate process mapped through it has the shape's rate at every moment.
 */
export function timeOfExpectedCount(shape: Exclude<LoadShape, { kind: "burst" }>, count: number): number {
  switch (shape.kind) {
    case "steady":
      return count / shape.rate;
    case "ramp":
      return timeOnRamp(shape, count);
    case "stairs":
      return timeOnStairs(shape, count);
  }
}

function timeOnRamp({ fromRate, toRate, seconds }: LoadShape & { kind: "ramp" }, count: number): number {
  const countOnRamp = ((fromRate + toRate) / 2) * seconds;
  if (count >= countOnRamp) return seconds + (count - countOnRamp) / toRate;
  const slope = (toRate - fromRate) / seconds;
  // The root of fromRate·t + slope·t²/2 = count, in the form that stays exact for a slope near zero.
  return (2 * count) / (fromRate + Math.sqrt(fromRate * fromRate + 2 * slope * count));
}

/** After its last step the staircase stays there: a duration, not the shape, ends the run. */
function timeOnStairs({ rates, stepSeconds }: LoadShape & { kind: "stairs" }, count: number): number {
  let rest = count;
  let startSeconds = 0;
  for (const rate of rates.slice(0, -1)) {
    if (rest < rate * stepSeconds) return startSeconds + rest / rate;
    rest -= rate * stepSeconds;
    startSeconds += stepSeconds;
  }
  return startSeconds + rest / (rates.at(-1) as number);
}
