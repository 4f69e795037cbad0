/**
 * When the runs that are under way end, and those that take their places: each after as long as runs usually last. One
 * that has outlasted them tells nothing of its end but that it may well go on for as long as it is late.
 */
export class RunEnds {
  /** Of those under way, soonest first. */
  readonly #firstMs: readonly number[];
  readonly #wholeRunMs: number;
  /** As far as they were asked for. Each is followed by another one in its place, so these too come in order. */
  readonly #endsMs: number[] = [];
  #numFirst = 0;
  #numFollowed = 0;

  /** Where no run has ended yet, `usualMs` is 0: what runs is then taken to go on for as long as it has. */
  constructor(agesMs: readonly number[], usualMs: number) {
    const ascendingMs = agesMs.toSorted((left, right) => left - right);
    this.#firstMs = ascendingMs.map((ageMs) => Math.abs(usualMs - ageMs)).sort((left, right) => left - right);
    // Half of them are that old: the first sign of requests that are longer than the ones before.
    this.#wholeRunMs = Math.max(usualMs, ascendingMs[ascendingMs.length >> 1] ?? 0);
  }

  /** Time until so many have ended. */
  untilMs(numEnds: number): number {
    if (numEnds <= 0 || this.#firstMs.length === 0) return 0;
    while (this.#endsMs.length < numEnds) this.#endsMs.push(this.#nextMs());
    return this.#endsMs[Math.ceil(numEnds) - 1]!;
  }

  #nextMs(): number {
    const firstMs = this.#firstMs[this.#numFirst] ?? Infinity;
    const followedMs = this.#endsMs[this.#numFollowed];
    const againMs = followedMs === undefined ? Infinity : followedMs + this.#wholeRunMs;
    if (firstMs <= againMs) this.#numFirst += 1;
    else this.#numFollowed += 1;
    return Math.min(firstMs, againMs);
  }
}
