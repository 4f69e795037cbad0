import { countCopies } from "../kvcache/cache-op.ts";
import type { CacheOp } from "./contracts.ts";
import { DecayedRegression } from "./decayed-regression.ts";

const NUM_FEATURES = 2;

/**
 * How long copies between the KV pool and host memory take, learned from every step that makes some: a fixed part of each
 * copy, for which the library goes over the whole pool, and a part for each token, of use or not.
 */
export class CopyTimeModel {
  readonly #regression = new DecayedRegression(NUM_FEATURES, 0.98);

  observe(operations: readonly CacheOp[], durationMs: number): void {
    const { numCopies, numTokens } = countCopies(operations);
    if (numCopies > 0) this.#regression.observe([numCopies, numTokens], durationMs);
  }

  /** Of these operations; 0 while nothing has been seen. */
  operationsMs(operations: readonly CacheOp[]): number {
    const { numCopies, numTokens } = countCopies(operations);
    return numCopies === 0 ? 0 : (this.copyMs(numCopies, numTokens) ?? 0);
  }

  /** Of so many copies with so many tokens together; null while nothing has been seen. */
  copyMs(numCopies: number, numTokens: number): number | null {
    return this.#regression.numObservations === 0 ? null : this.#regression.predict([numCopies, numTokens]);
  }
}
