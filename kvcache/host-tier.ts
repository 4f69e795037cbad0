import type { BlockTable } from "./block-table.ts";
import type { HostSlot } from "./cache-op.ts";
import { DiskExchange } from "./disk-exchange.ts";
import type { DiskFetch } from "./disk-index.ts";
import { numPinned } from "./pins.ts";
import type { HostSegment, PrefixNode } from "./prefix-cache.ts";
import { SegmentStore, type SegmentStoreOptions } from "./segment-store.ts";

/** Blocks copied at once: few copies, for each scans the whole pool, and small ones, for they are restored whole. */
export const DEFAULT_SEGMENT_BLOCKS = 8;

export interface HostTierOptions extends SegmentStoreOptions {
  /** Most blocks of one copy. */
  readonly segmentBlocks: number;
}

export interface HostBlockCounts {
  readonly total: number;
  readonly used: number;
}

/**
 * Copies of blocks in host memory: what the pool evicts goes here, what is asked for again comes back, at the price
 * of a copy instead of a computation. A copy stays when its blocks are restored, so they can leave the pool again for free.
 */
export class HostTier {
  readonly disk: DiskExchange;
  readonly #options: HostTierOptions;
  readonly #store: SegmentStore;

  constructor(options: HostTierOptions) {
    this.#options = options;
    this.#store = new SegmentStore(options);
    this.disk = new DiskExchange(this.#store);
  }

  get isOn(): boolean {
    return this.#options.maxBlocks > 0;
  }

  /** Those in memory, least recently used first. */
  get segments(): Iterable<HostSegment> {
    return this.#store.inMemory;
  }

  /** The last end of a segment at or before this block. */
  alignDown(block: number): number {
    return this.isOn ? block - (block % this.#options.segmentBlocks) : block;
  }

  /** Copies that the blocks of one sequence take. */
  numCopiesFor(numBlocks: number): number {
    return this.#options.copiesWhole ? 1 : Math.ceil(numBlocks / this.#options.segmentBlocks);
  }

  counts(): HostBlockCounts {
    return { total: this.#options.maxBlocks, used: this.#store.numUsed };
  }

  /** What of a match can be had without waiting for the disk: its start, where copies are whole all that leads to one. */
  available(match: readonly PrefixNode[]): PrefixNode[] {
    const isAvailable = ({ holders, hosted }: PrefixNode): boolean =>
      holders.size > 0 || this.#store.isInMemory(hosted);
    if (this.#options.copiesWhole) return match.slice(0, match.findLastIndex(isAvailable) + 1);
    const end = match.findIndex((node) => !isAvailable(node));
    return match.slice(0, end === -1 ? match.length : end);
  }

  /** Asks for what only the disk has of a match. */
  fetch(match: readonly PrefixNode[]): DiskFetch {
    return this.disk.fetch(match, this.available(match).length);
  }

  /** There is room for all that `save` would copy of a table. */
  canSave({ path }: BlockTable, nowMs: number): boolean {
    let numBlocks = 0;
    for (const { start, nodes } of findMissing(path, 0, { maxLength: this.#options.segmentBlocks, nowMs }))
      numBlocks += this.#store.numCopied(start, nodes.length);
    return this.isOn && this.#store.hasRoom(numBlocks, path, nowMs);
  }

  /** Copies those blocks of a table from `startBlock` on that nobody else has a copy of, as far as there is room. */
  save({ seqId, path }: BlockTable, startBlock: number, nowMs: number): void {
    if (!this.isOn) return;
    for (const { start, nodes } of findMissing(path, startBlock, {
      maxLength: this.#options.segmentBlocks,
      nowMs,
    })) {
      if (!this.#store.makeRoom(this.#store.numCopied(start, nodes.length), path, nowMs)) break;
      this.#add(seqId, start, nodes);
    }
    this.#store.touch(path.at(-1));
  }

  /** Copies the pinned start of a table even where the pool has it too, so that nothing can take it away. */
  savePinned(table: BlockTable, nowMs: number): void {
    const path = table.path.slice(0, numPinned(table.path, nowMs));
    if (path.length > 0) this.save({ ...table, path }, 0, nowMs);
  }

  /** Copies of pinned blocks. */
  *pinned(nowMs: number): Iterable<HostSegment> {
    for (const segment of this.#store.inMemory) {
      if (segment.nodes[0]!.pinnedUntilMs > nowMs) yield segment;
    }
  }

  /** True once for each copy that came from disk, at its first use. */
  isFirstUseFromDisk(slot: HostSlot): boolean {
    return this.#store.isFirstUseFromDisk(slot);
  }

  /**
   * Copies back the blocks of `match` that follow the table's path, as far as whole segments fit into its blocks and,
   * for the moment of the copy, into `numFreeBlocks` of the pool.
   */
  restore(table: BlockTable, match: readonly PrefixNode[], numFreeBlocks: number): void {
    if (this.#options.copiesWhole) this.#restoreWhole(table, match);
    else this.#restoreSegments(table, match, numFreeBlocks);
    this.#store.touch(table.path.at(-1));
  }

  /** Blocks of the copy that has this one, and where copies are whole all before it; Infinity where memory has none. */
  numCopiedBlocks({ hosted }: PrefixNode): number {
    return this.#store.isInMemory(hosted) ? hosted.numCopiedBlocks : Infinity;
  }

  /** One copy has it all: that of the deepest block. */
  #restoreWhole({ path, seqId }: BlockTable, match: readonly PrefixNode[]): void {
    const segment = match.at(-1)?.hosted;
    if (!this.#store.isInMemory(segment) || path.length >= match.length) return;
    for (const node of match.slice(path.length)) {
      node.holders.add(seqId);
      path.push(node);
    }
    const toPosition = path.length * this.#options.blockSize;
    const numCopiedTokens = segment.numCopiedBlocks * this.#options.blockSize;
    const range = { fromPosition: 0, toPosition, numCopiedTokens };
    this.#options.emit({ kind: "restore", slot: segment.slot, seqId, ...range });
  }

  #restoreSegments(
    { path, seqId, blocks }: BlockTable,
    match: readonly PrefixNode[],
    numFreeBlocks: number,
  ): void {
    const { blockSize } = this.#options;
    while (path.length < match.length) {
      const start = path.length;
      const segment = match[start]!.hosted;
      if (!this.#store.isInMemory(segment) || segment.nodes.length > blocks.length - start + numFreeBlocks)
        break;
      while (match[path.length]?.hosted === segment) path.push(match[path.length]!);
      for (const node of path.slice(start)) node.holders.add(seqId);
      const range = { fromPosition: start * blockSize, toPosition: path.length * blockSize };
      this.#options.emit({ kind: "restore", slot: segment.slot, seqId, ...range });
    }
  }

  /** Forgets the node if there is no copy of it, and what hangs below. */
  prune(node: PrefixNode): void {
    this.#store.prune(node);
  }

  #add(seqId: number, startBlock: number, nodes: readonly PrefixNode[]): void {
    const segment = this.#store.create(startBlock, nodes);
    this.#store.enterMemory(segment, { isFromDisk: false });
    const { blockSize, emit } = this.#options;
    const endBlock = startBlock + nodes.length;
    const range = {
      fromPosition: (endBlock - segment.numCopiedBlocks) * blockSize,
      toPosition: endBlock * blockSize,
    };
    emit({ kind: "save", slot: segment.slot, seqId, ...range });
  }
}

interface MissingRun {
  readonly start: number;
  readonly nodes: readonly PrefixNode[];
}

/** What others hold is not about to be lost, and is copied only to be safe. */
function needsCopy({ hosted, holders, pinnedUntilMs }: PrefixNode, nowMs: number): boolean {
  return hosted === null && (holders.size === 1 || pinnedUntilMs > nowMs);
}

/** Runs of blocks that need a copy, cut at multiples of `maxLength`. */
function* findMissing(
  path: readonly PrefixNode[],
  startBlock: number,
  { maxLength, nowMs }: { readonly maxLength: number; readonly nowMs: number },
): Iterable<MissingRun> {
  let start = startBlock;
  for (let end = startBlock; end <= path.length; end += 1) {
    const isMissing = end < path.length && needsCopy(path[end]!, nowMs);
    if (isMissing && end % maxLength !== 0) continue;
    if (end > start) yield { start, nodes: path.slice(start, end) };
    start = isMissing ? end : end + 1;
  }
}
