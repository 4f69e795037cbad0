import type { SeqId } from "../kvcache/cache-op.ts";
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
    this.#byUrgency = [...this.#byUrgency, sequence].sort(compareUrgency);
    this.#bySeqId = [...this.#bySeqId, sequence].sort(bySeqId);
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

function bySeqId(left: { readonly seqId: SeqId }, right: { readonly seqId: SeqId }): number {
  return left.seqId - right.seqId;
}
