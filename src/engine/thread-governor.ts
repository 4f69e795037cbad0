/** One model call as the governor sees it. */
export interface CallObservation {
  readonly durationMs: number;
  /** CPU time of the whole process during the call. */
  readonly cpuMs: number;
}

export interface ThreadGovernorOptions {
  readonly maxThreads: number;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Cores of the machine that nobody used since the last question; null where that cannot be read. */
  readonly idleCores: () => number | null;
  readonly onChange: (numThreads: number, reason: string) => void;
}

/**
 * Below this share of the CPU time that spinning threads would use on cores of their own, one thread fewer is faster.
 * Measured on two cores: beside a process that takes 30 % of one (share 0.85) two threads still beat one by 1.4, beside
 * one that takes all of it (share 0.75) they lose.
 */
const CONTENDED_BELOW = 0.8;
/**
 * Beside another engine, whose threads spin too, they lose far more: then at once. Else so many windows in a row, or the
 * second after a server's start, in which its JavaScript is compiled, would cost it a thread for the next ones.
 */
const COLLAPSING_BELOW = 0.65;
const CONTENDED_WINDOWS = 3;
/** CPU time is judged over at least this long: a passing visitor of some milliseconds is no reason to change. */
const WINDOW_MS = 300;
/** A free core is seen this often in a row before it is taken. */
const CALM_CHECKS = 2;
const CHECK_INTERVAL_MS = 1000;
/** What others did while nothing was computed for so long tells nothing of now. */
const PAUSE_MS = 250;
/** A core counts as free when less than this part of it is used. */
const FREE_CORE = 0.85;
const MAX_BACKOFF_MS = 30_000;
/** Staying up this long after a step upward means that it was right. */
const PROVEN_MS = 10_000;

/**
 * Keeps the compute threads within the cores that are really there.
 *
 * ggml's threads spin at every barrier (ggml/src/ggml-cpu/ggml-cpu.c, without OpenMP), so on cores of their own n
 * threads use n times the call's duration of CPU time. They use less exactly when something else runs on their cores,
 * and then every barrier waits for a time slice: one thread fewer is faster by far. A thread comes back when the
 * machine has shown an idle core for a while, with growing patience where that was wrong.
 */
export class ThreadGovernor {
  readonly #options: ThreadGovernorOptions;
  #numThreads: number;
  #windowMs = 0;
  #windowCpuMs = 0;
  #numContended = 0;
  #checkedAtMs: number;
  #observedAtMs: number;
  #numCalmChecks = 0;
  #changedAtMs: number;
  #backoffMs = CHECK_INTERVAL_MS;

  constructor(options: ThreadGovernorOptions) {
    this.#options = options;
    this.#numThreads = options.maxThreads;
    this.#checkedAtMs = options.now();
    this.#observedAtMs = options.now();
    this.#changedAtMs = options.now();
    options.idleCores();
  }

  get numThreads(): number {
    return this.#numThreads;
  }

  /** A call is about to begin. */
  begin(): void {
    if (this.#options.now() - this.#observedAtMs > PAUSE_MS) this.#options.idleCores();
  }

  /** Takes in a call; may change the number of threads for the next one. */
  observe({ durationMs, cpuMs }: CallObservation): void {
    this.#observedAtMs = this.#options.now();
    this.#windowMs += durationMs;
    this.#windowCpuMs += cpuMs;
    if (this.#windowMs < WINDOW_MS) return;
    const efficiency = this.#windowCpuMs / (this.#windowMs * this.#numThreads);
    this.#windowMs = 0;
    this.#windowCpuMs = 0;
    this.#numContended = efficiency < CONTENDED_BELOW ? this.#numContended + 1 : 0;
    if (this.#numContended === 0 || this.#numThreads === 1) this.#considerStepUp();
    else if (efficiency < COLLAPSING_BELOW || this.#numContended >= CONTENDED_WINDOWS)
      this.#stepDown(efficiency);
  }

  #stepDown(efficiency: number): void {
    const wasProven = this.#options.now() - this.#changedAtMs > PROVEN_MS;
    this.#backoffMs = wasProven ? CHECK_INTERVAL_MS : Math.min(MAX_BACKOFF_MS, this.#backoffMs * 2);
    this.#change(
      this.#numThreads - 1,
      `cores are contended: threads got ${Math.round(efficiency * 100)} % of theirs`,
    );
  }

  #considerStepUp(): void {
    const nowMs = this.#options.now();
    if (this.#numThreads >= this.#options.maxThreads || nowMs - this.#checkedAtMs < CHECK_INTERVAL_MS) return;
    this.#checkedAtMs = nowMs;
    const idleCores = this.#options.idleCores();
    const isCalm = idleCores !== null && idleCores >= FREE_CORE;
    this.#numCalmChecks = isCalm ? this.#numCalmChecks + 1 : 0;
    if (this.#numCalmChecks < CALM_CHECKS || nowMs - this.#changedAtMs < this.#backoffMs) return;
    this.#change(this.#numThreads + 1, "a core is idle");
  }

  #change(numThreads: number, reason: string): void {
    const nowMs = this.#options.now();
    this.#numThreads = numThreads;
    this.#numContended = 0;
    this.#numCalmChecks = 0;
    this.#changedAtMs = nowMs;
    this.#checkedAtMs = nowMs;
    // Idle time up to here was under the old number of threads.
    this.#options.idleCores();
    this.#options.onChange(numThreads, reason);
  }
}
