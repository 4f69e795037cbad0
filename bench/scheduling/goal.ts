/** A figure that a benchmark promises, with what was found. */
export interface Goal {
  readonly claim: string;
  readonly comparison: "<=" | ">=";
  readonly limit: number;
  /** Null where this run could not measure it, for want of a peer for example. */
  readonly value: number | null;
  /** Null where there is no value. */
  readonly isMet: boolean | null;
}

export function atMost(claim: string, value: number | null, limit: number): Goal {
  return goal(claim, "<=", { value, limit });
}

export function atLeast(claim: string, value: number | null, limit: number): Goal {
  return goal(claim, ">=", { value, limit });
}

/** A division by nothing measured is no measurement. */
export function ratio(numerator: number | null, denominator: number | null): number | null {
  if (numerator === null || denominator === null) return null;
  const quotient = numerator / denominator;
  return Number.isFinite(quotient) ? quotient : null;
}

export function verdict({ isMet }: Goal): string {
  if (isMet === null) return "not measured";
  return isMet ? "pass" : "FAIL";
}

/** Three digits, as far as they mean something. */
export function formatFigure(value: number | null): string {
  if (value === null) return "-";
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

function goal(
  claim: string,
  comparison: Goal["comparison"],
  { value, limit }: { value: number | null; limit: number },
): Goal {
  const known = value !== null && Number.isFinite(value) ? value : null;
  const isMet = known === null ? null : comparison === "<=" ? known <= limit : known >= limit;
  return { claim, comparison, limit, value: known, isMet };
}
