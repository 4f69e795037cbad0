import type { CacheOp, HostCopyRange, SeqId } from "../scheduler/contracts.ts";

/** One token's entry, tagged with the sequences that see it. */
interface Cell {
  /** Depends on the token and all before it, as a real entry does: a wrongly shared cell shows in what is computed from it. */
  readonly state: number;
  readonly tags: Set<SeqId>;
}

/** States of [start, start + states.length) of some sequence. */
interface HostCopy {
  readonly start: number;
  readonly states: readonly number[];
}

/**
 * llama.cpp's unified KV memory to the letter of its contract: cells tagged with sequence ids, where a position
 * may be computed once, after all before it. Throws on whatever the real one would refuse or silently get wrong.
 */
export class FakeKvMemory {
  readonly #numCells: number;
  readonly #numSeqIds: number;
  /** Cells by position. */
  readonly #sequences = new Map<SeqId, Cell[]>();
  readonly #host = new Map<number, HostCopy>();
  #numUsedCells = 0;

  constructor(numCells: number, numSeqIds: number) {
    this.#numCells = numCells;
    this.#numSeqIds = numSeqIds;
  }

  get numUsedCells(): number {
    return this.#numUsedCells;
  }

  /** The states of a sequence by position; equal exactly where the tokens up to there are equal. */
  states(seqId: SeqId): number[] {
    return (this.#sequences.get(seqId) ?? []).map((cell) => cell.state);
  }

  /** Copies in host memory by slot, with the states they hold. */
  get hostCopies(): ReadonlyMap<number, HostCopy> {
    return this.#host;
  }

  apply(operation: CacheOp): void {
    switch (operation.kind) {
      case "share":
        return this.#share(operation.from, operation.to, operation.numTokens);
      case "trim":
        return this.#trim(operation.seqId, operation.fromPosition);
      case "save":
        return this.#save(operation);
      case "restore":
        return this.#restore(operation);
      case "discard":
        if (!this.#host.delete(operation.slot)) throw new Error(`host slot ${operation.slot} is empty`);
    }
  }

  /** Computes a token at a position and returns the state there. */
  append(seqId: SeqId, position: number, tokenId: number): number {
    const cells = this.#cells(seqId);
    if (cells.length !== position) {
      throw new Error(`sequence ${seqId}: position ${position} computed where ${cells.length} is next`);
    }
    if (this.#numUsedCells === this.#numCells) throw new Error("the KV memory is full");
    const state = mix((cells.at(-1)?.state ?? 0) ^ Math.imul(tokenId + 1, 0x9e3779b1));
    cells.push({ state, tags: new Set([seqId]) });
    this.#numUsedCells += 1;
    return state;
  }

  #share(from: SeqId, to: SeqId, numTokens: number): void {
    const source = this.#cells(from);
    const target = this.#cells(to);
    if (source.length < numTokens)
      throw new Error(`sequence ${from} has ${source.length} of ${numTokens} tokens to share`);
    if (target.length > 0) throw new Error(`sequence ${to} already has positions`);
    for (const cell of source.slice(0, numTokens)) {
      cell.tags.add(to);
      target.push(cell);
    }
  }

  #trim(seqId: SeqId, fromPosition: number): void {
    for (const cell of this.#cells(seqId).splice(fromPosition)) {
      cell.tags.delete(seqId);
      if (cell.tags.size === 0) this.#numUsedCells -= 1;
    }
  }

  #save({ slot, seqId, fromPosition, toPosition }: HostCopyRange): void {
    const cells = this.#cells(seqId);
    if (this.#host.has(slot)) throw new Error(`host slot ${slot} is taken`);
    if (fromPosition >= toPosition || cells.length < toPosition) {
      throw new Error(`sequence ${seqId} has no positions ${fromPosition} to ${toPosition}`);
    }
    const states = cells.slice(fromPosition, toPosition).map((cell) => cell.state);
    this.#host.set(slot, { start: fromPosition, states });
  }

  #restore({ slot, seqId, fromPosition, toPosition }: HostCopyRange): void {
    const cells = this.#cells(seqId);
    const copy = this.#host.get(slot);
    if (copy === undefined) throw new Error(`host slot ${slot} is empty`);
    const states = copy.states.slice(fromPosition - copy.start, toPosition - copy.start);
    if (fromPosition < copy.start || states.length !== toPosition - fromPosition) {
      throw new Error(`host slot ${slot} has no positions ${fromPosition} to ${toPosition}`);
    }
    if (cells.length !== fromPosition) {
      throw new Error(`sequence ${seqId} ends at ${cells.length}, not ${fromPosition}`);
    }
    if (this.#numUsedCells + copy.states.length > this.#numCells) throw new Error("the KV memory is full");
    for (const state of states) cells.push({ state, tags: new Set([seqId]) });
    this.#numUsedCells += states.length;
  }

  #cells(seqId: SeqId): Cell[] {
    if (seqId < 0 || seqId >= this.#numSeqIds) throw new Error(`sequence id ${seqId} is out of range`);
    let cells = this.#sequences.get(seqId);
    if (cells === undefined) this.#sequences.set(seqId, (cells = []));
    return cells;
  }
}

/** A bijective 32-bit mix (the finalizer of MurmurHash3). */
export function mix(value: number): number {
  let bits = value ^ (value >>> 16);
  bits = Math.imul(bits, 0x85ebca6b);
  bits ^= bits >>> 13;
  bits = Math.imul(bits, 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
