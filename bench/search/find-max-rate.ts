export interface MaxRateOptions {
  /** First rate tried, requests per second. */
  fromRate: number;
  /** Never try more than this. */
  maxRate: number;
  /** Stop when the lowest failing rate is within this share above the highest passing one. */
  tolerance: number;
  /** Further trials that the found rate must pass, each with another seed. */
  numConfirmations: number;
  /** Never make more trials than this. */
  maxTrials: number;
}

export interface Trial {
  rate: number;
  /** Counts the trials of the search from 0: seeds a trial differently from all before it. */
  index: number;
  purpose: "search" | "confirm";
  passed: boolean;
}

export interface MaxRate {
  /** Highest confirmed rate; 0 when none passed. */
  rate: number;
  confirmed: boolean;
  trials: Trial[];
}

/**
 * Finds the highest rate whose trials pass: doubling (or halving) from the first rate until one passes
 * and a higher one fails, then bisection, then confirmation. A rate that once passed by luck fails its
 * confirmation and becomes the upper bound, and the search goes on below it.
 */
export async function findMaxRate(
  tryRate: (rate: number, index: number) => Promise<boolean>,
  options: MaxRateOptions,
): Promise<MaxRate> {
  return new RateSearch(tryRate, options).run();
}

class RateSearch {
  readonly #tryRate: (rate: number, index: number) => Promise<boolean>;
  readonly #options: MaxRateOptions;
  readonly #trials: Trial[] = [];
  /** Rates that passed and have not failed since, ascending. */
  #passed: number[] = [];
  #lowestFailed = Infinity;

  constructor(tryRate: (rate: number, index: number) => Promise<boolean>, options: MaxRateOptions) {
    this.#tryRate = tryRate;
    this.#options = options;
  }

  async run(): Promise<MaxRate> {
    while (this.#trials.length < this.#options.maxTrials) {
      const next = this.#nextRate();
      if (next !== null) {
        this.#note(next, await this.#trial(next, "search"));
        continue;
      }
      const best = this.#best();
      if (best === 0 || (await this.#confirm(best))) return this.#outcome(best > 0);
    }
    return this.#outcome(false);
  }

  #best(): number {
    return this.#passed.at(-1) ?? 0;
  }

  /** The rate to try next, or null when the answer lies within the tolerance. */
  #nextRate(): number | null {
    const { fromRate, maxRate, tolerance } = this.#options;
    const best = this.#best();
    if (best === 0) {
      if (this.#lowestFailed === Infinity) return Math.min(fromRate, maxRate);
      const lower = this.#lowestFailed / 2;
      return lower < fromRate / 1000 ? null : lower;
    }
    if (this.#lowestFailed === Infinity) return best >= maxRate ? null : Math.min(best * 2, maxRate);
    return this.#lowestFailed / best <= 1 + tolerance ? null : (best + this.#lowestFailed) / 2;
  }

  async #confirm(rate: number): Promise<boolean> {
    for (let i = 0; i < this.#options.numConfirmations; i++) {
      if (this.#trials.length >= this.#options.maxTrials) return false;
      const passed = await this.#trial(rate, "confirm");
      this.#note(rate, passed);
      if (!passed) return false;
    }
    return true;
  }

  async #trial(rate: number, purpose: Trial["purpose"]): Promise<boolean> {
    const index = this.#trials.length;
    const passed = await this.#tryRate(rate, index);
    this.#trials.push({ rate, index, purpose, passed });
    return passed;
  }

  #note(rate: number, passed: boolean): void {
    if (passed) {
      if (!this.#passed.includes(rate)) this.#passed = [...this.#passed, rate].sort((a, b) => a - b);
      return;
    }
    this.#lowestFailed = Math.min(this.#lowestFailed, rate);
    this.#passed = this.#passed.filter((each) => each < this.#lowestFailed);
  }

  #outcome(confirmed: boolean): MaxRate {
    return { rate: this.#best(), confirmed, trials: this.#trials };
  }
}
