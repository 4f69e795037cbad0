import { setTimeout } from "node:timers/promises";
import { GenerationError } from "../engine/generation.ts";
import type { AppDependencies } from "./dependencies.ts";
import { PrefixComputation } from "./prefix-computation.ts";
import { unpin, type PrefixRegistry } from "./prefix-registry.ts";
import type { RegisteredPrefix } from "./prefix-store.ts";

/** Nobody waits for it yet. */
const RESTORE_PRIORITY = 100;

/**
 * Computes the registered prefixes for an engine that has none of them, one after another: what the disk has is only
 * looked up, what it has lost or never had is there again.
 */
export class PrefixRestorer {
  readonly #registry: PrefixRegistry;
  readonly #dependencies: AppDependencies;
  #numRuns = 0;

  constructor(registry: PrefixRegistry, dependencies: AppDependencies) {
    this.#registry = registry;
    this.#dependencies = dependencies;
  }

  /** Takes the place of a run for an earlier engine. */
  async run(): Promise<void> {
    this.#numRuns += 1;
    const run = this.#numRuns;
    for (const prefix of this.#registry.current(Date.now())) {
      while (run === this.#numRuns && this.#registry.has(prefix.id)) {
        const retryAfterMs = await this.#restore(prefix);
        if (retryAfterMs === null) break;
        await setTimeout(retryAfterMs, undefined, { ref: false });
      }
    }
  }

  /** Returns how long to wait where the engine is too busy for it now, else null. */
  async #restore(prefix: RegisteredPrefix): Promise<number | null> {
    const ttlMs = prefix.expiresAtMs - Date.now();
    if (ttlMs <= 0) return null;
    try {
      const toCompute = { ...prefix, ttlMs, priority: RESTORE_PRIORITY };
      await new PrefixComputation().run(toCompute, this.#dependencies);
    } catch (error) {
      // Whatever else stands against it, the next request computes what it needs.
      const isBusy = error instanceof GenerationError && error.code === "overloaded";
      return isBusy ? (error.retryAfterMs ?? null) : null;
    }
    // Deleted meanwhile.
    if (!this.#registry.has(prefix.id)) unpin(prefix, this.#dependencies.engine);
    return null;
  }
}
