import { atLeast, atMost, ratio } from "./goal.ts";
import { mean } from "./mean.ts";
import type { Findings, Row } from "./scenario.ts";

/** What the streams got in one window. */
export interface Observed {
  readonly tokensPerSecond: number;
  readonly stepP50Ms: number;
  readonly stepP99Ms: number;
  readonly numThreads: number | null;
}

export type SideName =
  | "one thread, alone"
  | "all threads, alone"
  | "all threads, beside a busy process"
  | "all threads, alone with 16 streams"
  | "two servers, together";

/** Means over the windows of each side. */
export function contentionFindings(found: ReadonlyMap<SideName, readonly Observed[]>): Findings {
  const meanOf = (name: SideName, value: (observed: Observed) => number): number | null =>
    mean((found.get(name) ?? []).map(value));
  const speed = (name: SideName): number | null => meanOf(name, ({ tokensPerSecond }) => tokensPerSecond);
  const busy = "all threads, beside a busy process";
  return {
    rows: [...found].map(([name, windows]) => row(name, windows)),
    goals: [
      atMost(
        "step p99 / p50 beside a busy process",
        meanOf(busy, (each) => each.stepP99Ms / each.stepP50Ms),
        3,
      ),
      atLeast(
        "tokens/s beside a busy process / one thread alone",
        ratio(speed(busy), speed("one thread, alone")),
        0.9,
      ),
      atLeast(
        "tokens/s of two servers / one alone with as many streams",
        ratio(speed("two servers, together"), speed("all threads, alone with 16 streams")),
        0.8,
      ),
    ],
  };
}

function row(side: SideName, windows: readonly Observed[]): Row {
  return {
    side,
    "output tokens/s": mean(windows.map(({ tokensPerSecond }) => tokensPerSecond)),
    "step p50 ms": mean(windows.map(({ stepP50Ms }) => stepP50Ms)),
    "step p99 ms": mean(windows.map(({ stepP99Ms }) => stepP99Ms)),
    "threads at the end": windows.map(({ numThreads }) => numThreads ?? "-").join(", "),
  };
}
