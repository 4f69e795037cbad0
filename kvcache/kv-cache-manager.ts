import type { Admission, AdmissionRequest } from "./admission.ts";
import type { Block, BlockCounts } from "./block-pool.ts";
import type { BlockTable } from "./block-table.ts";
import type { CacheOp, SeqId } from "./cache-op.ts";
import { isWorthCopying } from "./copy-worth.ts";
import type { DiskFetch } from "./disk-index.ts";
import { HostTier, DEFAULT_SEGMENT_BLOCKS } from "./host-tier.ts";
import { findViolations } from "./integrity.ts";
import type { KvCacheOptions } from "./kv-cache-options.ts";
import { NullPrefixCache } from "./null-prefix-cache.ts";
import { numUnsaved, pinPath, unpinPath, type PinOwner } from "./pins.ts";
import type { PrefixCache, PrefixKey, PrefixNode } from "./prefix-cache.ts";
import { RadixPrefixCache } from "./radix-prefix-cache.ts";
import { SequenceTables } from "./sequence-tables.ts";

/** What one step copies of branches that have become too many: a few milliseconds, where steps take tens. */
const MAX_COOLED_BLOCKS = 16;

/** Part of the pool that is free or has copies, if evictable blocks suffice for that. */
const READY_PART = 0.125;

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
  readonly #prefixes: PrefixCache;
  readonly #tables: SequenceTables;
  readonly #ops: CacheOp[] = [];

  constructor(options: KvCacheOptions) {
    this.#options = options;
    const emit = (operation: CacheOp): void => void this.#ops.push(operation);
    this.#prefixes = options.canShare ? new RadixPrefixCache(options.blockSize) : new NullPrefixCache();
    this.host = new HostTier({
      maxBlocks: options.canShare && options.canTrim ? (options.maxHostBlocks ?? 0) : 0,
      blockSize: options.blockSize,
      segmentBlocks: this.#copies ? Infinity : (options.hostSegmentBlocks ?? DEFAULT_SEGMENT_BLOCKS),
      copiesWhole: this.#copies,
      prefixes: this.#prefixes,
      emit,
    });
    this.#tables = new SequenceTables(options, this.host, emit);
  }

  /** A prefix is shared by copying it, into blocks of the receiver's own. */
  get #copies(): boolean {
    return this.#options.layout === "streams";
  }

  get options(): KvCacheOptions {
    return this.#options;
  }

  /** There are operations to take, or may be when time passes. */
  get hasOps(): boolean {
    return this.#ops.length > 0 || this.#tables.numSurplus > 0;
  }

  /** What takeOps() would return now. */
  get pendingOps(): readonly CacheOp[] {
    return this.#ops;
  }

  counts(): BlockCounts {
    return this.#tables.pool.counts();
  }

  /** It is so late: the time of pins runs from here. */
  noteTime(nowMs: number): void {
    this.#tables.nowMs = nowMs;
  }

  /** Time passes: pins run out, and surplus blocks leave the pool, a few at once since copying them takes time. */
  advanceTo(nowMs: number): void {
    this.noteTime(nowMs);
    this.#tables.cool(MAX_COOLED_BLOCKS);
  }

  /** Copies what will be evicted next to the host before room is needed, a few blocks; for a step that computes anyway. */
  copyAhead(): void {
    if (!this.host.isOn || this.#copies) return;
    const numWanted = Math.min(this.#options.numBlocks * READY_PART, this.host.counts().total / 2);
    if (this.#tables.pool.numFree < numWanted) this.#tables.copyAhead(numWanted, MAX_COOLED_BLOCKS);
  }

  /** Upper bound of the cells in use. */
  get numHeldTokens(): number {
    return (this.#options.numBlocks - this.#tables.pool.numFree) * this.#options.blockSize;
  }

  numBlocksFor(numTokens: number): number {
    return Math.ceil(numTokens / this.#options.blockSize);
  }

  /** Of a running sequence, those that it shares included. Throws RangeError for one that does not run. */
  numBlocksOf(seqId: SeqId): number {
    return this.#tables.running(seqId).blocks.length;
  }

  /** Leading tokens of the key that a sequence admitted now would not have to compute. */
  numCachedTokens(key: PrefixKey): number {
    return this.#match(key).length * this.#options.blockSize;
  }

  /**
   * Asks for what only the disk has of a sequence's prefix: it can be had when the fetch is done, unless that failed.
   * Until then it counts as not cached.
   */
  fetch(key: PrefixKey): DiskFetch {
    return this.host.fetch(this.#matchAnywhere(key));
  }

  /** Gives a sequence an id, its cached prefix, and blocks for all its tokens; null when they don't fit. */
  admit(request: AdmissionRequest): Admission | null {
    const { key } = request;
    const pins = this.#options.canPin === false ? [] : (request.pins ?? []);
    const seqId = this.#tables.takeSeqId(() =>
      request.useCachedPrefix ? this.#match(key).at(-1) : undefined,
    );
    if (seqId === null) return null;
    const table: BlockTable = { seqId, key, blocks: [], path: [], pins, kind: "running" };
    const numShared = this.#copies ? this.#fillSlice(table, request) : this.#fillPaged(table, request);
    if (numShared === null) {
      this.#tables.seqIds.giveBack(seqId);
      return null;
    }
    this.#pin(table);
    const { blockSize } = this.#options;
    return {
      seqId,
      numCachedTokens: table.path.length * blockSize,
      numRestoredTokens: (table.path.length - numShared) * blockSize,
    };
  }

  /** There would be blocks for a sequence, if `released` did not run any more. */
  fits({ key, useCachedPrefix, numReserveBlocks }: AdmissionRequest, released: readonly SeqId[]): boolean {
    if (this.#copies) return true;
    const shared = useCachedPrefix ? this.#match(key).filter(isInPool) : [];
    const numNewBlocks = this.numBlocksFor(key.tokens.length) - shared.length;
    return numNewBlocks + numReserveBlocks <= this.#numObtainable(shared, released);
  }

  /** Returns how many blocks it shares with others; null, and no effect, when the rest does not fit. */
  #fillPaged(table: BlockTable, { key, useCachedPrefix, numReserveBlocks }: AdmissionRequest): number | null {
    const shared = useCachedPrefix ? this.#match(key).filter(isInPool) : [];
    const numNewBlocks = this.numBlocksFor(key.tokens.length) - shared.length;
    if (numNewBlocks + numReserveBlocks > this.#numObtainable(shared)) return null;
    this.#tables.all.set(table.seqId, table);
    if (shared.length > 0) this.#tables.share(shared, table);
    this.#tables.append(table, numNewBlocks);
    // Looked up again: making room may have moved blocks to the host, or from there to oblivion.
    if (useCachedPrefix && this.host.isOn)
      this.host.restore(table, this.#match(key), this.#tables.pool.numFree);
    return shared.length;
  }

  /** An id of one's own is all that it takes. What copies less has the prefix copied from it, a sequence or a slot. Returns how many blocks are copied from another sequence. */
  #fillSlice(table: BlockTable, { key, useCachedPrefix }: AdmissionRequest): number {
    this.#tables.all.set(table.seqId, table);
    this.#tables.append(table, this.numBlocksFor(key.tokens.length));
    const match = useCachedPrefix ? this.#match(key) : [];
    const last = match.at(-1);
    if (last === undefined) return 0;
    if (this.#tables.numCopiedBlocks(last) < this.host.numCopiedBlocks(last)) {
      this.#tables.share(match, table);
      return match.length;
    }
    const shared = match.filter(isInPool);
    this.host.restore(table, match, 0);
    if (shared.length > 0) this.#tables.dropCoveredBranch(shared);
    return 0;
  }

  /** Makes sure a running sequence has blocks for `numTokens` tokens, evicting cached ones; false, and no effect, when it can't. */
  allocate(seqId: SeqId, numTokens: number): boolean {
    const table = this.#tables.running(seqId);
    const numNewBlocks = this.numBlocksFor(numTokens) - table.blocks.length;
    if (numNewBlocks <= 0) return true;
    if (numNewBlocks > this.#tables.pool.numFree + this.#tables.pool.numCached) return false;
    this.#tables.append(table, numNewBlocks);
    return true;
  }

  /** The first `numComputedTokens` tokens have been computed: their full blocks may be shared from now on. */
  commit(seqId: SeqId, numComputedTokens: number): void {
    const table = this.#tables.running(seqId);
    const { blockSize } = this.#options;
    const numBlocksBefore = table.path.length;
    while ((table.path.length + 1) * blockSize <= numComputedTokens) {
      const node = this.#prefixes.extend(table.path, table.key);
      if (node === null) break;
      node.holders.add(seqId);
      table.path.push(node);
      this.#tables.dropCoveredBranch(table.path);
    }
    // All of it, for no block may be pinned for longer than the one before it.
    if (table.path.length > numBlocksBefore) this.#pin(table);
  }

  /** Ends one owner's pin of a prefix. */
  unpin(key: PrefixKey, owner: PinOwner): void {
    unpinPath(this.#prefixes.match(key, Math.floor(key.tokens.length / this.#options.blockSize)), owner);
  }

  /** Ends a sequence's run. With `retain` its full computed blocks stay as a cached branch, else only what a pin would lose. */
  release(seqId: SeqId, options: { readonly retain: boolean }): void {
    const table = this.#tables.running(seqId);
    this.#pin(table);
    // A slice is given up with its sequence, and what is pinned of it then saved like everything else.
    if (!this.#copies) this.host.savePinned(table, this.#tables.nowMs);
    const { path } = table;
    const numKept = options.retain ? path.length : numUnsaved(path, this.#tables.nowMs);
    if (this.#options.canTrim && !isCovered(path, numKept)) this.#tables.retain(table, numKept);
    else this.#tables.drop(table);
  }

  /** Host memory has all blocks that this sequence would leave, or could take them now. */
  canPark(seqId: SeqId): boolean {
    return this.host.canSave(this.#tables.running(seqId), this.#tables.nowMs);
  }

  /** The operations since the last call, in order. */
  takeOps(): readonly CacheOp[] {
    return this.#ops.splice(0);
  }

  /** Every broken invariant as a sentence; empty when all hold. `numUsedCells` is the runner's count once all operations are applied. */
  checkIntegrity(numUsedCells: number | null = null): string[] {
    return findViolations({
      blockSize: this.#options.blockSize,
      pool: this.#tables.pool,
      seqIds: this.#tables.seqIds,
      tables: this.#tables.all,
      branches: this.#tables.branches,
      nodes: [...this.#prefixes.nodes()],
      segments: [...this.host.segments],
      filed: [...this.host.disk.index.segments()],
      wanted: [...this.host.disk.index.wanted],
      hostCounts: this.host.counts(),
      numUsedCells,
    });
  }

  /** Pins what a sequence has of the prefixes that it wants kept. */
  #pin({ path, pins }: BlockTable): void {
    const { nowMs } = this.#tables;
    for (const { numTokens, owner, ttlMs } of pins) {
      const end = Math.floor(numTokens / this.#options.blockSize);
      pinPath(path.slice(0, end), { owner, untilMs: nowMs + ttlMs }, nowMs);
    }
  }

  /** At least one token is left to compute: the model gives logits only for positions it computes. */
  #matchAnywhere(key: PrefixKey): PrefixNode[] {
    const maxTokens = Math.min(key.tokens.length - 1, key.maxCachedTokens ?? Infinity);
    return this.#prefixes.match(key, Math.floor(maxTokens / this.#options.blockSize));
  }

  /** What of it is in the pool or in host memory and, in streams, worth copying with all that its sequence or slot holds. */
  #match(key: PrefixKey): PrefixNode[] {
    const match = this.host.available(this.#matchAnywhere(key));
    if (!this.#copies) return match;
    const isWorthIt = (node: PrefixNode, index: number): boolean =>
      isWorthCopying(
        index + 1,
        Math.min(this.#tables.numCopiedBlocks(node), this.host.numCopiedBlocks(node)),
      );
    return match.slice(0, match.findLastIndex(isWorthIt) + 1);
  }

  /** Blocks that are free or evictable, or would be without `released`; not those that sharing this prefix would put to use. */
  #numObtainable(shared: readonly PrefixNode[], released: readonly SeqId[] = []): number {
    const isIdle = ({ holders, numRunningHolders }: Block): boolean =>
      numRunningHolders === released.filter((seqId) => holders.has(seqId)).length;
    const given = new Set(released.flatMap((seqId) => this.#tables.running(seqId).blocks));
    const kept = shared.length === 0 ? [] : this.#tables.donor(shared).blocks.slice(0, shared.length);
    const numGiven = [...given].filter(isIdle).length;
    return this.#tables.pool.numFree + this.#tables.pool.numCached + numGiven - kept.filter(isIdle).length;
  }
}

function isInPool(node: PrefixNode): boolean {
  return node.holders.size > 0;
}

/** Another sequence holds all that this one could leave behind. */
function isCovered(path: readonly PrefixNode[], numKept: number): boolean {
  return numKept === 0 || path[numKept - 1]!.holders.size > 1;
}
