import type { Sequence } from "./sequence.ts";
import { compareUrgency } from "./urgency.ts";

/** The running sequences in two orders. Both arrays are replaced, never changed, so loops may add and remove. */
export class RunningSet {
  #byUrgency: readonly Sequence[] = [];
  #bySeqId: readonly Sequence[] = [];

  get size(): number {
    return this.#byUrgency.length;
  }

  /** Most urgent first. */
  get byUrgency(): readonly Sequence[] {
    return this.#byUrgency;
  }

  /** Ascending sequence ids. */
  get bySeqId(): readonly Sequence[] {
    return this.#bySeqId;
  }

  add(sequence: Sequence): void {
    this.#byUrgency = inserted(this.#byUrgency, sequence, compareUrgency);
    this.#bySeqId = inserted(this.#bySeqId, sequence, (left, right) => left.seqId - right.seqId);
  }

  remove(sequence: Sequence): void {
    this.#byUrgency = this.#byUrgency.filter((other) => other !== sequence);
    this.#bySeqId = this.#bySeqId.filter((other) => other !== sequence);
  }

  /** Who of a non-empty set gives way when memory is short: a paused sequence, for it makes no use of its blocks, else the least urgent. */
  victim(): Sequence {
    return this.pausedVictim() ?? this.#byUrgency.at(-1)!;
  }

  /** The least urgent paused sequence. */
  pausedVictim(): Sequence | null {
    return this.#byUrgency.findLast((sequence) => sequence.isPaused) ?? null;
  }
}

/** A copy of a sorted array with one more item. */
function inserted<T>(items: readonly T[], item: T, compare: (left: T, right: T) => number): T[] {
  const index = items.findIndex((other) => compare(other, item) > 0);
  return items.toSpliced(index === -1 ? items.length : index, 0, item);
}
