import type { SeqId } from "./cache-op.ts";

/** Hands out the lowest free id, which keeps live ids dense: batches over consecutive ids are the cheap ones. */
export class SeqIdPool {
  readonly #isTaken: boolean[];

  constructor(numSeqIds: number) {
    this.#isTaken = Array.from({ length: numSeqIds }, () => false);
  }

  take(): SeqId | null {
    const seqId = this.#isTaken.indexOf(false);
    if (seqId === -1) return null;
    this.#isTaken[seqId] = true;
    return seqId;
  }

  giveBack(seqId: SeqId): void {
    this.#isTaken[seqId] = false;
  }

  isTaken(seqId: SeqId): boolean {
    return this.#isTaken[seqId] === true;
  }

  get numTaken(): number {
    return this.#isTaken.filter(Boolean).length;
  }
}
