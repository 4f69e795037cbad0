import type { Random } from "../seeded-random.ts";
import type { LoadShape } from "./load-shape.ts";

import { gamma } from "../seeded-random.ts";
import { timeOfExpectedCount } from "./load-shape.ts";

/**
 * Endless arrival times in milliseconds since the start of the run, ascending.
 *
 * Gaps are Gamma(shape = burstiness, mean 1) in operational time, mapped through the load shape.
 * Burstiness 1 is a Poisson process, below 1 is burstier, Infinity is evenly spaced (the convention
 * of vLLM's `bench serve`). Times are absolute: a late client never shifts the arrivals after it.
 */
export function* arrivalTimes(shape: LoadShape, burstiness: number, random: Random): Generator<number> {
  if (shape.kind === "burst") {
    for (let index = 0; ; index++) yield Math.floor(index / shape.size) * shape.everySeconds * 1000;
  }
  let expectedCount = 0;
  for (;;) {
    expectedCount += burstiness === Infinity ? 1 : gamma(random, burstiness) / burstiness;
    yield timeOfExpectedCount(shape, expectedCount) * 1000;
  }
}
