import type { SeqId } from "./cache-op.ts";
import { HolderSet } from "./holder-set.ts";

export type BlockId = number;

/** `blockSize` tokens' worth of KV cells. A block belongs to the tables of all its holders at the same index. */
export interface Block {
  readonly id: BlockId;
  /** Mirrors the sequence ids its cells are tagged with. */
  readonly holders: HolderSet;
  /** How many holders still run; a block with holders but no running one is cached. */
  numRunningHolders: number;
}

/** free + cached + used = total. `used` blocks are held by at least one running sequence. */
export interface BlockCounts {
  readonly total: number;
  readonly free: number;
  readonly cached: number;
  readonly used: number;
}

/** Whether a holder runs or is only kept for reuse. */
export type HolderKind = "running" | "retained";

/**
 * Reference counts and the free list. Every operation is O(1).
 * Only full blocks get a second holder, so nobody ever appends to a shared block and copy-on-write never arises.
 */
export class BlockPool {
  readonly #blocks: readonly Block[];
  readonly #free: Block[];
  #numUsed = 0;

  constructor(numBlocks: number) {
    this.#blocks = Array.from({ length: numBlocks }, (_, id) => ({
      id,
      holders: new HolderSet(),
      numRunningHolders: 0,
    }));
    this.#free = this.#blocks.toReversed();
  }

  get blocks(): readonly Block[] {
    return this.#blocks;
  }

  get numFree(): number {
    return this.#free.length;
  }

  get numCached(): number {
    return this.#blocks.length - this.#free.length - this.#numUsed;
  }

  counts(): BlockCounts {
    return {
      total: this.#blocks.length,
      free: this.numFree,
      cached: this.numCached,
      used: this.#numUsed,
    };
  }

  /** A free block for a running sequence, or null when none is left. */
  take(seqId: SeqId): Block | null {
    const block = this.#free.pop();
    if (block === undefined) return null;
    this.hold(block, seqId);
    return block;
  }

  /** Adds a running holder. */
  hold(block: Block, seqId: SeqId): void {
    block.holders.add(seqId);
    block.numRunningHolders += 1;
    if (block.numRunningHolders === 1) this.#numUsed += 1;
  }

  /** A running holder becomes a retained one. */
  retain(block: Block): void {
    block.numRunningHolders -= 1;
    if (block.numRunningHolders === 0) this.#numUsed -= 1;
  }

  /** Removes a holder; the last one frees the block. */
  drop(block: Block, seqId: SeqId, kind: HolderKind): void {
    block.holders.delete(seqId);
    if (kind === "running") this.retain(block);
    if (block.holders.size === 0) this.#free.push(block);
  }

  /** Ids on the free list, for the integrity check. */
  freeIds(): BlockId[] {
    return this.#free.map((block) => block.id);
  }
}
