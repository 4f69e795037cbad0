import type { CacheOp, HostCopyRange, KvLayout, SeqId } from "../scheduler/contracts.ts";

/** One token's entry, tagged with the sequences that see it. */
interface Cell {
  /** Depends on the token and all before it, as a real entry does: a wrongly shared cell shows in what is computed from it. */
  readonly state: number;
  readonly tags: Set<SeqId>;
}

/** States of [start, start + states.length) of some sequence. */
export interface HostCopy {
  readonly start: number;
  readonly states: readonly number[];
}

export interface FakeKvMemoryOptions {
  readonly numCells: number;
  readonly numSeqIds: number;
  /** Paged by default. */
  readonly layout?: KvLayout;
}

/**
 * llama.cpp's KV memory to the letter of its contract: cells tagged with sequence ids (unified), or a slice of cells for
 * each id (streams), where a position may be computed once, after all before it. Throws on whatever the real one would
 * refuse or silently get wrong.
 */
export class FakeKvMemory {
  readonly #numCells: number;
  readonly #numSeqIds: number;
  readonly #isPaged: boolean;
  /** Cells by position. */
  readonly #sequences = new Map<SeqId, Cell[]>();
  readonly #host = new Map<number, HostCopy>();
  #numUsedCells = 0;

  constructor({ numCells, numSeqIds, layout }: FakeKvMemoryOptions) {
    this.#numCells = numCells;
    this.#numSeqIds = numSeqIds;
    this.#isPaged = layout !== "streams";
  }

  get numUsedCells(): number {
    return this.#numUsedCells;
  }

  /** The states of a sequence by position; equal exactly where the tokens up to there are equal. */
  states(seqId: SeqId): number[] {
    return states(this.#sequences.get(seqId) ?? []);
  }

  /** Copies in host memory by slot, with the states they hold. */
  get hostCopies(): ReadonlyMap<number, HostCopy> {
    return this.#host;
  }

  /** Puts a copy that was in a slot, now or earlier, into an empty one. */
  fillHostSlot(slot: number, copy: HostCopy): void {
    if (this.#host.has(slot)) throw new Error(`host slot ${slot} is taken`);
    this.#host.set(slot, copy);
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

  /** Computes a token at a position and returns the state there, on which `salt` has its influence. */
  append(seqId: SeqId, position: number, tokenId: number, salt = 0): number {
    const cells = this.#cells(seqId);
    if (cells.length !== position) {
      throw new Error(`sequence ${seqId}: position ${position} computed where ${cells.length} is next`);
    }
    this.#requireRoom(cells, 1);
    const state = mix((cells.at(-1)?.state ?? 0) ^ Math.imul(tokenId + 1, 0x9e3779b1) ^ salt);
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
    if (!this.#isPaged) return this.#fill(to, states(source.slice(0, numTokens)));
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
    const start = this.#isPaged ? fromPosition : 0;
    this.#host.set(slot, { start, states: states(cells.slice(start, toPosition)) });
  }

  #restore({ slot, seqId, fromPosition, toPosition }: HostCopyRange): void {
    const cells = this.#cells(seqId);
    const copy = this.#host.get(slot);
    if (copy === undefined) throw new Error(`host slot ${slot} is empty`);
    const restored = copy.states.slice(fromPosition - copy.start, toPosition - copy.start);
    if (fromPosition < copy.start || restored.length !== toPosition - fromPosition) {
      throw new Error(`host slot ${slot} has no positions ${fromPosition} to ${toPosition}`);
    }
    if (cells.length !== fromPosition) {
      throw new Error(`sequence ${seqId} ends at ${cells.length}, not ${fromPosition}`);
    }
    this.#requireRoom(cells, copy.states.length);
    this.#fill(seqId, restored);
  }

  #fill(seqId: SeqId, added: readonly number[]): void {
    const cells = this.#cells(seqId);
    this.#requireRoom(cells, added.length);
    for (const state of added) cells.push({ state, tags: new Set([seqId]) });
    this.#numUsedCells += added.length;
  }

  #requireRoom(cells: readonly Cell[], numMore: number): void {
    const isFull = this.#isPaged
      ? this.#numUsedCells + numMore > this.#numCells
      : cells.length + numMore > this.#numCells / this.#numSeqIds;
    if (isFull) throw new Error("the KV memory is full");
  }

  #cells(seqId: SeqId): Cell[] {
    if (seqId < 0 || seqId >= this.#numSeqIds) throw new Error(`sequence id ${seqId} is out of range`);
    let cells = this.#sequences.get(seqId);
    if (cells === undefined) this.#sequences.set(seqId, (cells = []));
    return cells;
  }
}

function states(cells: readonly Cell[]): number[] {
  return cells.map((cell) => cell.state);
}

/** A bijective 32-bit mix (the finalizer of MurmurHash3). */
export function mix(value: number): number {
  let bits = value ^ (value >>> 16);
  bits = Math.imul(bits, 0x85ebca6b);
  bits ^= bits >>> 13;
  bits = Math.imul(bits, 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
