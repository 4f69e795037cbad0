import type { LatencyTargets } from "./generation.ts";

/** How a generation went, in milliseconds; null where it did not come to that. */
export interface MeasuredTimes {
  readonly ttftMs: number | null;
  readonly tpotMs: number | null;
  readonly e2eMs: number;
}

/** How long a request may wait to start before it is of no use; null for ever. */
export function patienceOf({ ttftMs, totalMs }: LatencyTargets): number | null {
  const patienceMs = Math.min(ttftMs ?? Infinity, totalMs ?? Infinity);
  return patienceMs === Infinity ? null : patienceMs;
}

/** How soon a request needs its first token, given how long it will write; null where it has all the time. */
export function firstTokenWithin({ ttftMs, totalMs }: LatencyTargets, decodeMs: number): number | null {
  const withinMs = Math.min(ttftMs ?? Infinity, Math.max(0, (totalMs ?? Infinity) - decodeMs));
  return withinMs === Infinity ? null : withinMs;
}

/** Whether a finished generation kept its targets; null when it had none. */
export function metTargets(targets: LatencyTargets, times: MeasuredTimes): boolean | null {
  const { ttftMs, tpotMs, totalMs } = targets;
  if (ttftMs === undefined && tpotMs === undefined && totalMs === undefined) return null;
  return (
    (times.ttftMs ?? times.e2eMs) <= (ttftMs ?? Infinity) &&
    (times.tpotMs ?? 0) <= (tpotMs ?? Infinity) &&
    times.e2eMs <= (totalMs ?? Infinity)
  );
}
