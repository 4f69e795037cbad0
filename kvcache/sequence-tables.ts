import { BlockPool } from "./block-pool.ts";
import type { BlockTable } from "./block-table.ts";
import type { CacheOp, SeqId } from "./cache-op.ts";
import type { HostTier } from "./host-tier.ts";
import type { KvCacheOptions } from "./kv-cache-options.ts";
import { numPinned } from "./pins.ts";
import type { PrefixNode } from "./prefix-cache.ts";
import { SeqIdPool } from "./seq-id-pool.ts";

/**
 * The block tables of all sequences, running and retained, and how they gain and lose blocks. What is evicted moves to
 * the host tier; eviction goes leaf first, least recently used, pinned prefixes last.
 */
export class SequenceTables {
  readonly pool: BlockPool;
  readonly seqIds: SeqIdPool;
  readonly all = new Map<SeqId, BlockTable>();
  /** Retained branches, least recently used first. */
  readonly branches = new Map<SeqId, BlockTable>();
  nowMs = 0;
  readonly #options: KvCacheOptions;
  readonly #host: HostTier;
  readonly #emit: (operation: CacheOp) => void;

  constructor(options: KvCacheOptions, host: HostTier, emit: (operation: CacheOp) => void) {
    this.#options = options;
    this.pool = new BlockPool(options.numBlocks);
    this.seqIds = new SeqIdPool(options.numSeqIds);
    this.#host = host;
    this.#emit = emit;
  }

  /** Cached blocks beyond those that may stay in the pool. */
  get numSurplus(): number {
    return Math.max(0, this.pool.numCached - this.#options.maxCachedBlocks);
  }

  /** Throws RangeError for one that does not run. */
  running(seqId: SeqId): BlockTable {
    const table = this.all.get(seqId);
    if (table === undefined || table.kind !== "running")
      throw new RangeError(`sequence id ${seqId} does not run`);
    return table;
  }

  /** Any holder will do, since each has computed the whole prefix; in streams, where all of it is copied, the shortest. */
  donor(shared: readonly PrefixNode[]): BlockTable {
    const { holders } = shared.at(-1)!;
    let donor = this.all.get(holders.first!)!;
    if (!this.#copies) return donor;
    for (const seqId of holders) {
      const holder = this.all.get(seqId)!;
      if (holder.path.length < donor.path.length) donor = holder;
    }
    return donor;
  }

  /** Blocks that sharing up to this one copies in streams; Infinity where no sequence has it. */
  numCopiedBlocks(node: PrefixNode): number {
    return node.holders.size === 0 ? Infinity : this.donor([node]).path.length;
  }

  get #copies(): boolean {
    return this.#options.layout === "streams";
  }

  /** The lowest free id, for which the oldest branch without a pin, or else the oldest, may have to go; null when all ids run. */
  takeSeqId(): SeqId | null {
    const seqId = this.seqIds.take();
    if (seqId !== null) return seqId;
    const oldest = this.#oldestBranch();
    if (oldest === null) return null;
    this.#host.save(oldest, 0, this.nowMs);
    this.drop(oldest);
    return this.seqIds.take();
  }

  /** Rather one without a pin. */
  #oldestBranch(): BlockTable | null {
    let oldest: BlockTable | null = null;
    for (const branch of this.branches.values()) {
      if (numPinned(branch.path, this.nowMs) === 0) return branch;
      oldest ??= branch;
    }
    return oldest;
  }

  /** Gives an empty table the start of another one. */
  share(shared: readonly PrefixNode[], table: BlockTable): void {
    const donor = this.donor(shared);
    for (const block of this.#copies ? [] : donor.blocks.slice(0, shared.length)) {
      this.pool.hold(block, table.seqId);
      table.blocks.push(block);
    }
    for (const node of shared) node.holders.add(table.seqId);
    table.path.push(...shared);
    const { blockSize } = this.#options;
    const numTokens = shared.length * blockSize;
    const copied = this.#copies ? { numCopiedTokens: donor.path.length * blockSize } : {};
    this.#emit({ kind: "share", from: donor.seqId, to: table.seqId, numTokens, ...copied });
    this.dropCoveredBranch(table.path);
  }

  /** Evicts as needed; the caller has made sure that it suffices. */
  append(table: BlockTable, numBlocks: number): void {
    this.evict(numBlocks - this.pool.numFree);
    for (let count = 0; count < numBlocks; count += 1) table.blocks.push(this.pool.take(table.seqId)!);
  }

  /**
   * A table has just reached the end of a path: a branch that ends there has nothing of its own any more. It had that
   * end for itself till now, so where there are more than two holders none of them is one.
   */
  dropCoveredBranch(path: readonly PrefixNode[]): void {
    const { holders } = path.at(-1)!;
    if (holders.size > 2) return;
    for (const seqId of holders) {
      const branch = this.branches.get(seqId);
      if (branch?.path.length === path.length) return this.drop(branch);
    }
  }

  /** Keeps the computed blocks of a sequence that has ended. */
  retain(table: BlockTable): void {
    this.#shorten(table, table.path.length);
    for (const block of table.blocks) this.pool.retain(block);
    table.kind = "retained";
    this.branches.set(table.seqId, table);
  }

  /** Forgets a sequence and frees its id. */
  drop(table: BlockTable): void {
    this.#shorten(table, 0);
    this.all.delete(table.seqId);
    this.branches.delete(table.seqId);
    this.seqIds.giveBack(table.seqId);
  }

  /** Gives up all blocks from `numBlocks` on, deepest first. */
  #shorten(table: BlockTable, numBlocks: number): void {
    while (table.blocks.length > numBlocks) {
      if (table.path.length === table.blocks.length) {
        const node = table.path.pop()!;
        node.holders.delete(table.seqId);
        this.#host.prune(node);
      }
      this.pool.drop(table.blocks.pop()!, table.seqId, table.kind);
    }
    const fromPosition = numBlocks * this.#options.blockSize;
    this.#emit({ kind: "trim", seqId: table.seqId, fromPosition });
  }

  /** Frees at least `numBlocks` cached blocks (or all there are): oldest branch first, each from its tail, pinned prefixes last. */
  evict(numBlocks: number): void {
    const target = this.pool.numFree + numBlocks;
    for (const sparesPinned of [true, false]) {
      for (const branch of this.branches.values()) {
        if (this.pool.numFree >= target) return;
        const numSpared = sparesPinned ? numPinned(branch.path, this.nowMs) : 0;
        if (numSpared < branch.path.length) this.#evictTail(branch, target - this.pool.numFree, numSpared);
      }
    }
  }

  /**
   * Copies ends of the oldest branches to the host, a few blocks at once, while the free blocks and those that have copies
   * are fewer than `numWanted`: a large request then finds room by forgetting, not by copying all of it in one step.
   */
  copyAhead(numWanted: number, maxBlocks: number): void {
    let numReady = this.pool.numFree;
    for (const branch of this.branches.values()) {
      if (numReady >= numWanted || maxBlocks <= 0) return;
      const end =
        branch.path.findLastIndex(({ hosted, holders }) => hosted === null && holders.size === 1) + 1;
      numReady += branch.path.length - end;
      const numMissing = Math.min(end, maxBlocks, numWanted - numReady);
      if (numMissing <= 0) continue;
      const start = this.#host.alignDown(end - numMissing);
      this.#host.save({ ...branch, path: branch.path.slice(0, end) }, start, this.nowMs);
      maxBlocks -= end - start;
      numReady += end - start;
    }
  }

  /** A branch shortened to where another one covers it is not worth its sequence id. */
  #evictTail(branch: BlockTable, minBlocks: number, numSpared: number): void {
    // Whole segments, so that the next block needs no copy of its own.
    const numKept = Math.max(numSpared, this.#host.alignDown(Math.max(0, branch.path.length - minBlocks)));
    this.#host.save(branch, numKept, this.nowMs);
    const isCoveredThere = numKept === 0 || branch.path[numKept - 1]!.holders.size > 1;
    if (isCoveredThere) this.drop(branch);
    else this.#shorten(branch, numKept);
  }
}
