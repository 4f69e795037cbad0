import type { Admission, AdmissionRequest } from "./admission.ts";
import { BlockPool, type BlockCounts } from "./block-pool.ts";
import type { BlockTable } from "./block-table.ts";
import type { CacheOp, SeqId } from "./cache-op.ts";
import { HostTier, DEFAULT_SEGMENT_BLOCKS } from "./host-tier.ts";
import { findViolations } from "./integrity.ts";
import type { KvCacheOptions } from "./kv-cache-options.ts";
import { NullPrefixCache } from "./null-prefix-cache.ts";
import { numPinned, pinPath, unpinPath } from "./pins.ts";
import type { PrefixCache, PrefixKey, PrefixNode } from "./prefix-cache.ts";
import { RadixPrefixCache } from "./radix-prefix-cache.ts";
import { SeqIdPool } from "./seq-id-pool.ts";

/** What one step copies of branches that have become too many: a few milliseconds, where steps take tens. */
const MAX_COOLED_BLOCKS = 16;

/**
 * The only authority on KV memory. It grants blocks before anything is computed, so a model call can never
 * fail for want of a cell, and turns its decisions into cache operations for the runner.
 *
 * A finished or preempted sequence leaves its full computed blocks behind as a *retained branch* under its id,
 * because cells live only as long as some id holds them. No retained branch is covered by another holder:
 * the moment one is, it is dropped. So its last block is its own, and eviction from the tail always frees memory.
 * What is evicted moves to host memory (HostTier), which is also how a preempted sequence is parked.
 *
 * In the streams layout every id has its own slice, so nothing is ever short of blocks, and sharing copies.
 */
export class KvCacheManager {
  readonly host: HostTier;
  readonly #options: KvCacheOptions;
  readonly #pool: BlockPool;
  readonly #seqIds: SeqIdPool;
  readonly #prefixes: PrefixCache;
  readonly #tables = new Map<SeqId, BlockTable>();
  /** Retained branches, least recently used first. */
  readonly #branches = new Map<SeqId, BlockTable>();
  #ops: CacheOp[] = [];
  #nowMs = 0;

  constructor(options: KvCacheOptions) {
    this.#options = options;
    this.#pool = new BlockPool(options.numBlocks);
    this.#seqIds = new SeqIdPool(options.numSeqIds);
    this.#prefixes = options.canShare ? new RadixPrefixCache(options.blockSize) : new NullPrefixCache();
    this.host = new HostTier({
      maxBlocks: options.canShare && options.canTrim ? (options.maxHostBlocks ?? 0) : 0,
      blockSize: options.blockSize,
      segmentBlocks: this.#copies ? Infinity : (options.hostSegmentBlocks ?? DEFAULT_SEGMENT_BLOCKS),
      copiesWhole: this.#copies,
      prefixes: this.#prefixes,
      emit: (operation) => this.#ops.push(operation),
    });
  }

  /** A prefix is shared by copying it, into blocks of the receiver's own. */
  get #copies(): boolean {
    return this.#options.layout === "streams";
  }

  get options(): KvCacheOptions {
    return this.#options;
  }

  /** There are operations to take, or will be when time passes. */
  get hasOps(): boolean {
    return this.#ops.length > 0 || this.#numSurplus > 0;
  }

  /** Cached blocks beyond those that may stay in the pool. */
  get #numSurplus(): number {
    return Math.max(0, this.#pool.numCached - this.#options.maxCachedBlocks);
  }

  counts(): BlockCounts {
    return this.#pool.counts();
  }

  /** Time passes: pins run out, and surplus blocks leave the pool, a few at once since copying them takes time. */
  advanceTo(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#evict(Math.min(this.#numSurplus, MAX_COOLED_BLOCKS));
  }

  /** Upper bound of the cells in use. */
  get numHeldTokens(): number {
    return (this.#options.numBlocks - this.#pool.numFree) * this.#options.blockSize;
  }

  numBlocksFor(numTokens: number): number {
    return Math.ceil(numTokens / this.#options.blockSize);
  }

  /** Leading tokens of the key that a sequence admitted now would not have to compute. */
  numCachedTokens(key: PrefixKey): number {
    return this.#match(key).length * this.#options.blockSize;
  }

  /** Gives a sequence an id, its cached prefix, and blocks for all its tokens; null when they don't fit. */
  admit(request: AdmissionRequest): Admission | null {
    const { key, pin = null } = request;
    const seqId = this.#takeSeqId();
    if (seqId === null) return null;
    const table: BlockTable = { seqId, key, blocks: [], path: [], pin, kind: "running" };
    const numShared = this.#copies ? this.#fillSlice(table, request) : this.#fillPaged(table, request);
    if (numShared === null) {
      this.#seqIds.giveBack(seqId);
      return null;
    }
    const { blockSize } = this.#options;
    if (pin !== null) pinPath(table.path.slice(0, Math.floor(pin.numTokens / blockSize)), pin.untilMs);
    return {
      seqId,
      numCachedTokens: table.path.length * blockSize,
      numRestoredTokens: (table.path.length - numShared) * blockSize,
    };
  }

  /** Returns how many blocks it shares with others; null, and no effect, when the rest does not fit. */
  #fillPaged(table: BlockTable, { key, useCachedPrefix, numReserveBlocks }: AdmissionRequest): number | null {
    const shared = useCachedPrefix ? this.#match(key).filter(isInPool) : [];
    const numNewBlocks = this.numBlocksFor(key.tokens.length) - shared.length;
    if (numNewBlocks + numReserveBlocks > this.#numObtainable(shared)) return null;
    this.#tables.set(table.seqId, table);
    if (shared.length > 0) this.#share(shared, table);
    this.#append(table, numNewBlocks);
    // Looked up again: making room may have moved blocks to the host, or from there to oblivion.
    if (useCachedPrefix && this.host.isOn) this.host.restore(table, this.#match(key), this.#pool.numFree);
    return shared.length;
  }

  /** An id of one's own is all that it takes. Returns how many blocks are copied from another sequence. */
  #fillSlice(table: BlockTable, { key, useCachedPrefix }: AdmissionRequest): number {
    this.#tables.set(table.seqId, table);
    this.#append(table, this.numBlocksFor(key.tokens.length));
    const match = useCachedPrefix ? this.#match(key) : [];
    const shared = match.filter(isInPool);
    const hostHasMore = shared.length < match.length;
    if (shared.length > 0 && !hostHasMore) this.#share(shared, table);
    if (hostHasMore) this.host.restore(table, match, 0);
    if (hostHasMore && shared.length > 0) this.#dropCoveredBranch(shared);
    return hostHasMore ? 0 : shared.length;
  }

  /** Makes sure a running sequence has blocks for `numTokens` tokens, evicting cached ones; false, and no effect, when it can't. */
  allocate(seqId: SeqId, numTokens: number): boolean {
    const table = this.#table(seqId);
    const numNewBlocks = this.numBlocksFor(numTokens) - table.blocks.length;
    if (numNewBlocks <= 0) return true;
    if (numNewBlocks > this.#pool.numFree + this.#pool.numCached) return false;
    this.#append(table, numNewBlocks);
    return true;
  }

  /** The first `numComputedTokens` tokens have been computed: their full blocks may be shared from now on. */
  commit(seqId: SeqId, numComputedTokens: number): void {
    const table = this.#table(seqId);
    const { blockSize } = this.#options;
    while ((table.path.length + 1) * blockSize <= numComputedTokens) {
      const node = this.#prefixes.extend(table.path, table.key);
      if (node === null) return;
      node.holders.add(seqId);
      table.path.push(node);
      if (table.path.length * blockSize <= (table.pin?.numTokens ?? 0)) pinPath([node], table.pin!.untilMs);
      this.#dropCoveredBranch(table.path);
    }
  }

  /** Keeps what there is of a prefix until then; see PrefixPin. */
  pin(key: PrefixKey, untilMs: number): void {
    pinPath(this.#prefixes.match(key, Math.floor(key.tokens.length / this.#options.blockSize)), untilMs);
  }

  unpin(key: PrefixKey): void {
    unpinPath(this.#prefixes.match(key, Math.floor(key.tokens.length / this.#options.blockSize)));
  }

  /** Ends a sequence's run. With `retain` its full computed blocks stay as a cached branch. */
  release(seqId: SeqId, options: { readonly retain: boolean }): void {
    const table = this.#table(seqId);
    // A slice is given up with its sequence, and what is pinned of it then saved like everything else.
    if (!this.#copies) this.host.savePinned(table, this.#nowMs);
    if (options.retain && this.#options.canTrim && !isCovered(table)) this.#retain(table);
    else this.#drop(table);
  }

  /** Host memory could take all blocks of this sequence. */
  canPark(seqId: SeqId): boolean {
    return this.#table(seqId).path.length <= this.host.counts().total && this.host.isOn;
  }

  /** The operations since the last call, in order. */
  takeOps(): readonly CacheOp[] {
    return this.#ops.splice(0);
  }

  /** Every broken invariant as a sentence; empty when all hold. `numUsedCells` is the runner's count once all operations are applied. */
  checkIntegrity(numUsedCells: number | null = null): string[] {
    return findViolations({
      blockSize: this.#options.blockSize,
      pool: this.#pool,
      seqIds: this.#seqIds,
      tables: this.#tables,
      branches: this.#branches,
      nodes: [...this.#prefixes.nodes()],
      segments: [...this.host.segments],
      hostCounts: this.host.counts(),
      numUsedCells,
    });
  }

  #table(seqId: SeqId): BlockTable {
    const table = this.#tables.get(seqId);
    if (table === undefined || table.kind !== "running")
      throw new RangeError(`sequence id ${seqId} does not run`);
    return table;
  }

  /** At least one token is left to compute: the model gives logits only for positions it computes. */
  #match(key: PrefixKey): PrefixNode[] {
    const maxTokens = Math.min(key.tokens.length - 1, key.maxCachedTokens ?? Infinity);
    return this.#prefixes.match(key, Math.floor(maxTokens / this.#options.blockSize));
  }

  /** Any holder will do: each has computed the whole prefix. */
  #donor(shared: readonly PrefixNode[]): BlockTable {
    return this.#tables.get(shared.at(-1)!.holders.first!)!;
  }

  /** Free and evictable blocks, without those that sharing this prefix would put to use. */
  #numObtainable(shared: readonly PrefixNode[]): number {
    const numObtainable = this.#pool.numFree + this.#pool.numCached;
    if (shared.length === 0) return numObtainable;
    const blocks = this.#donor(shared).blocks.slice(0, shared.length);
    return numObtainable - blocks.filter((block) => block.numRunningHolders === 0).length;
  }

  /** The lowest free id, for which the oldest branch without a pin, or else the oldest, may have to go; null when all ids run. */
  #takeSeqId(): SeqId | null {
    const seqId = this.#seqIds.take();
    if (seqId !== null) return seqId;
    const branches = [...this.#branches.values()];
    const oldest = branches.find((branch) => numPinned(branch.path, this.#nowMs) === 0) ?? branches[0];
    if (oldest === undefined) return null;
    this.host.save(oldest, 0, this.#nowMs);
    this.#drop(oldest);
    return this.#seqIds.take();
  }

  #share(shared: readonly PrefixNode[], table: BlockTable): void {
    const donor = this.#donor(shared);
    for (const block of this.#copies ? [] : donor.blocks.slice(0, shared.length)) {
      this.#pool.hold(block, table.seqId);
      table.blocks.push(block);
    }
    for (const node of shared) node.holders.add(table.seqId);
    table.path.push(...shared);
    const numTokens = shared.length * this.#options.blockSize;
    this.#ops.push({ kind: "share", from: donor.seqId, to: table.seqId, numTokens });
    this.#dropCoveredBranch(table.path);
  }

  /** Evicts as needed; the caller has made sure that it suffices. */
  #append(table: BlockTable, numBlocks: number): void {
    this.#evict(numBlocks - this.#pool.numFree);
    for (let count = 0; count < numBlocks; count += 1) table.blocks.push(this.#pool.take(table.seqId)!);
  }

  /**
   * A table has just reached the end of a path: a branch that ends there has nothing of its own any more. It had that
   * end for itself till now, so where there are more than two holders none of them is one.
   */
  #dropCoveredBranch(path: readonly PrefixNode[]): void {
    const { holders } = path.at(-1)!;
    if (holders.size > 2) return;
    for (const seqId of holders) {
      const branch = this.#branches.get(seqId);
      if (branch?.path.length === path.length) return this.#drop(branch);
    }
  }

  #retain(table: BlockTable): void {
    this.#shorten(table, table.path.length);
    for (const block of table.blocks) this.#pool.retain(block);
    table.kind = "retained";
    this.#branches.set(table.seqId, table);
  }

  #drop(table: BlockTable): void {
    this.#shorten(table, 0);
    this.#tables.delete(table.seqId);
    this.#branches.delete(table.seqId);
    this.#seqIds.giveBack(table.seqId);
  }

  /** Gives up all blocks from `numBlocks` on, deepest first. */
  #shorten(table: BlockTable, numBlocks: number): void {
    while (table.blocks.length > numBlocks) {
      if (table.path.length === table.blocks.length) {
        const node = table.path.pop()!;
        node.holders.delete(table.seqId);
        this.host.prune(node);
      }
      this.#pool.drop(table.blocks.pop()!, table.seqId, table.kind);
    }
    const fromPosition = numBlocks * this.#options.blockSize;
    this.#ops.push({ kind: "trim", seqId: table.seqId, fromPosition });
  }

  /** Frees at least `numBlocks` cached blocks (or all there are): oldest branch first, each from its tail, pinned prefixes last. */
  #evict(numBlocks: number): void {
    const target = this.#pool.numFree + numBlocks;
    for (const sparesPinned of [true, false]) {
      for (const branch of this.#branches.values()) {
        if (this.#pool.numFree >= target) return;
        const numSpared = sparesPinned ? numPinned(branch.path, this.#nowMs) : 0;
        if (numSpared < branch.path.length) this.#evictTail(branch, target - this.#pool.numFree, numSpared);
      }
    }
  }

  /** A branch shortened to where another one covers it is not worth its sequence id. */
  #evictTail(branch: BlockTable, minBlocks: number, numSpared: number): void {
    // Whole segments, so that the next block needs no copy of its own.
    const numKept = Math.max(numSpared, this.host.alignDown(Math.max(0, branch.path.length - minBlocks)));
    this.host.save(branch, numKept, this.#nowMs);
    const isCoveredThere = numKept === 0 || branch.path[numKept - 1]!.holders.size > 1;
    if (isCoveredThere) this.#drop(branch);
    else this.#shorten(branch, numKept);
  }
}

function isInPool(node: PrefixNode): boolean {
  return node.holders.size > 0;
}

/** Another sequence holds all that this one could leave behind. */
function isCovered(table: BlockTable): boolean {
  const last = table.path.at(-1);
  return last === undefined || last.holders.size > 1;
}
