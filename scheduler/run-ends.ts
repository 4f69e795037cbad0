/**
 * When the runs that are under way end: each after as long as runs usually last. One that has outlasted them tells nothing
 * of its end but that it may well go on for as long as it is late. Whoever takes a place holds it for a whole run.
 */
export class RunEnds {
  /** Soonest first. */
  readonly #leftMs: readonly number[];
  readonly #wholeRunMs: number;

  /** Of what has been observed of no run, `usualMs` is 0. */
  constructor(agesMs: readonly number[], usualMs: number) {
    this.#leftMs = agesMs.map((ageMs) => Math.abs(usualMs - ageMs)).sort((left, right) => left - right);
    const meanAgeMs = agesMs.reduce((sum, ageMs) => sum + ageMs, 0) / Math.max(1, agesMs.length);
    this.#wholeRunMs = Math.max(usualMs, meanAgeMs);
  }

  /** Time until so many have ended, those that take the places of the first ones included. */
  untilMs(numEnds: number): number {
    if (numEnds <= 0 || this.#leftMs.length === 0) return 0;
    const last = Math.ceil(numEnds) - 1;
    const numRounds = Math.floor(last / this.#leftMs.length);
    return this.#leftMs[last % this.#leftMs.length]! + numRounds * this.#wholeRunMs;
  }
}
