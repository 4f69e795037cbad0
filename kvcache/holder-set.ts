import type { SeqId } from "./cache-op.ts";

/**
 * Sequence ids in the order they came. There is mostly one, which needs no table: with a `Set` for each block and node,
 * tables would be most of what the cache allocates.
 */
export class HolderSet implements Iterable<SeqId> {
  #first: SeqId | null = null;
  /** Those after the first; empty while there is no first. */
  #others: Set<SeqId> | null = null;

  get size(): number {
    return (this.#first === null ? 0 : 1) + (this.#others?.size ?? 0);
  }

  /** Who has been here for the longest. */
  get first(): SeqId | null {
    return this.#first;
  }

  has(seqId: SeqId): boolean {
    return seqId === this.#first || this.#others?.has(seqId) === true;
  }

  add(seqId: SeqId): void {
    if (this.#first === null) this.#first = seqId;
    else if (this.#first !== seqId) (this.#others ??= new Set()).add(seqId);
  }

  delete(seqId: SeqId): void {
    if (seqId !== this.#first) this.#others?.delete(seqId);
    else this.#first = this.#takeOther();
  }

  *[Symbol.iterator](): Iterator<SeqId> {
    if (this.#first !== null) yield this.#first;
    if (this.#others !== null) yield* this.#others;
  }

  #takeOther(): SeqId | null {
    for (const seqId of this.#others ?? []) {
      this.#others!.delete(seqId);
      return seqId;
    }
    return null;
  }
}
