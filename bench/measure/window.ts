import type { RequestRecord } from "../load/request.ts";

/** The measured part of a run, [startMs, endMs) since the start of the run. */
export interface Window {
  startMs: number;
  endMs: number;
}

export interface WindowOptions {
  warmupMs: number;
  cooldownMs: number;
  /** Length of the sending phase; null when a number of requests ended it. */
  durationMs: number | null;
}

/**
 * With a duration the window is [warm-up, duration - cool-down): the tail in which no new request comes
 * is not steady and is left out. Without one it ends with the last event, as in vLLM's `bench serve`.
 */
export function windowOf(records: readonly RequestRecord[], options: WindowOptions): Window {
  let lastMs = 0;
  for (const record of records) lastMs = Math.max(lastMs, record.endMs);
  const endMs = (options.durationMs ?? lastMs) - options.cooldownMs;
  return { startMs: Math.min(options.warmupMs, endMs), endMs };
}

export function windowSeconds({ startMs, endMs }: Window): number {
  return Math.max(0, endMs - startMs) / 1000;
}

/** Latency counts the requests that were due in the window, whenever they ended. */
export function isDueIn({ startMs, endMs }: Window, record: RequestRecord): boolean {
  return record.scheduledMs >= startMs && record.scheduledMs < endMs;
}

export function isInside({ startMs, endMs }: Window, timeMs: number): boolean {
  return timeMs >= startMs && timeMs <= endMs;
}
