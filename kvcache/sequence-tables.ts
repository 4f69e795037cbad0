import { BlockPool } from "./block-pool.ts";
import type { BlockTable } from "./block-table.ts";
import type { CacheOp, SeqId } from "./cache-op.ts";
import type { HostTier } from "./host-tier.ts";
import type { KvCacheOptions } from "./kv-cache-options.ts";
import { numPinned, numUnsaved } from "./pins.ts";
import type { PrefixNode } from "./prefix-cache.ts";
import { SeqIdPool } from "./seq-id-pool.ts";

/** What becomes of pinned blocks: they stay in the pool, move to the host as far as it takes them, or go anyway. */
type PinnedFate = "stay" | "move" | "go";

/** Pinned blocks that the host had no room for are offered again after so long: other pins may be over by then. */
const OFFER_INTERVAL_MS = 1000;

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
  /** Pinned blocks that the host had no room for when they were offered last. */
  #numRefused = 0;
  #offerAgainAtMs = 0;
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

  /** Cached blocks beyond those that may stay in the pool, or have to since they are pinned and fit nowhere else. */
  get numSurplus(): number {
    return Math.max(0, this.pool.numCached - Math.max(this.#options.maxCachedBlocks, this.#numRefused));
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

  /**
   * The lowest free id, for which a branch may have to go; null when all ids run. `wanted` is the end of what the newcomer
   * would share.
   */
  takeSeqId(wanted: () => PrefixNode | undefined): SeqId | null {
    const seqId = this.seqIds.take();
    if (seqId !== null) return seqId;
    const branch = this.#branchToDrop(wanted());
    if (branch === null) return null;
    // By itself, lest all of the branch be kept for the sake of a short pin.
    this.#host.savePinned(branch, this.nowMs);
    this.#host.save(branch, 0, this.nowMs);
    this.drop(branch);
    return this.seqIds.take();
  }

  /** The oldest, but rather one without a pin, and of either kind rather one that has not what is wanted. */
  #branchToDrop(wanted: PrefixNode | undefined): BlockTable | null {
    let worst: BlockTable | null = null;
    let leastWorth = Infinity;
    for (const branch of this.branches.values()) {
      const isPinned = numPinned(branch.path, this.nowMs) > 0;
      const worth = (isPinned ? 2 : 0) + (wanted?.holders.has(branch.seqId) === true ? 1 : 0);
      if (worth >= leastWorth) continue;
      worst = branch;
      leastWorth = worth;
      if (worth === 0) break;
    }
    return worst;
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
    this.#evict(numBlocks - this.pool.numFree, ["stay", "move", "go"]);
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

  /** Keeps the first computed blocks of a sequence that has ended. */
  retain(table: BlockTable, numBlocks: number): void {
    this.#shorten(table, numBlocks);
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

  /** Surplus blocks leave the pool, at most `maxBlocks`. Nobody needs their room, so no pin is broken for it. */
  cool(maxBlocks: number): void {
    if (this.nowMs >= this.#offerAgainAtMs) this.#numRefused = 0;
    this.#numRefused = Math.min(this.#numRefused, this.pool.numCached);
    const numBlocks = Math.min(this.numSurplus, maxBlocks);
    if (numBlocks === 0) return;
    const target = this.pool.numFree + numBlocks;
    this.#evict(numBlocks, ["stay", "move"]);
    if (this.pool.numFree >= target) return;
    this.#numRefused = this.pool.numCached;
    this.#offerAgainAtMs = this.nowMs + OFFER_INTERVAL_MS;
  }

  /**
   * Frees at least `numBlocks` cached blocks (or all there are, within these fates): oldest branch first, each from its
   * tail, pinned prefixes last.
   */
  #evict(numBlocks: number, fates: readonly PinnedFate[]): void {
    const target = this.pool.numFree + numBlocks;
    for (const fate of fates) {
      for (const branch of this.branches.values()) {
        if (this.pool.numFree >= target) return;
        this.#evictTail(branch, target - this.pool.numFree, fate);
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
  #evictTail(branch: BlockTable, minBlocks: number, fate: PinnedFate): void {
    const { path } = branch;
    const numSpared = fate === "stay" ? numPinned(path, this.nowMs) : 0;
    if (numSpared === path.length) return;
    // Whole segments, so that the next block needs no copy of its own.
    const start = Math.max(numSpared, this.#host.alignDown(Math.max(0, path.length - minBlocks)));
    this.#host.save(branch, start, this.nowMs);
    const numKept = fate === "move" ? Math.max(start, numUnsaved(path, this.nowMs)) : start;
    if (numKept === path.length) return;
    const isCoveredThere = numKept === 0 || path[numKept - 1]!.holders.size > 1;
    if (isCoveredThere) this.drop(branch);
    else this.#shorten(branch, numKept);
  }
}
