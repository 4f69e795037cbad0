import type { EngineExit } from "./engine-child.ts";

export interface RestartPolicyOptions {
  /** Deaths in a row without a single token in between before the engine is given up. */
  readonly maxFruitlessRestarts: number;
  readonly baseDelayMs: number;
  readonly maxDelayMs: number;
}

const DEFAULTS: RestartPolicyOptions = { maxFruitlessRestarts: 5, baseDelayMs: 250, maxDelayMs: 8000 };

/** Decides whether and how soon a dead engine is started again. A death after progress restarts at once. */
export class RestartPolicy {
  readonly #options: RestartPolicyOptions;
  #numFruitless = 0;

  constructor(options: Partial<RestartPolicyOptions> = {}) {
    this.#options = { ...DEFAULTS, ...options };
  }

  /** The engine produced something: earlier deaths no longer count. */
  noteProgress(): void {
    this.#numFruitless = 0;
  }

  /** Delay before the next start in milliseconds, or null to give up. */
  nextDelayMs(): number | null {
    const numBefore = this.#numFruitless++;
    if (numBefore >= this.#options.maxFruitlessRestarts) return null;
    if (numBefore === 0) return 0;
    return Math.min(this.#options.maxDelayMs, this.#options.baseDelayMs * 2 ** (numBefore - 1));
  }
}

/**
 * SIGKILL, SIGTERM and the like come from outside (an operator, the kernel under memory pressure); a fault or an
 * abort is the native code's own doing, and the work it was doing is then suspect.
 */
export function isSelfInflicted(exit: EngineExit): boolean {
  const outside = new Set<NodeJS.Signals | null>(["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"]);
  return !outside.has(exit.signal);
}
