import type { BlockTable } from "./block-table.ts";
import type { CacheOp, HostSlot } from "./cache-op.ts";
import { numPinned, pinPath } from "./pins.ts";
import type { HostSegment, PrefixCache, PrefixKey, PrefixNode } from "./prefix-cache.ts";
import { UseOrder } from "./use-order.ts";

/** Blocks copied at once: few copies, for each scans the whole pool, and small ones, for they are restored whole. */
export const DEFAULT_SEGMENT_BLOCKS = 8;

export interface HostTierOptions {
  /** 0 turns the tier off. */
  readonly maxBlocks: number;
  readonly blockSize: number;
  /** Most blocks of one copy. */
  readonly segmentBlocks: number;
  /** A copy always begins with the first block of its sequence, and takes the place of what a sequence has. */
  readonly copiesWhole: boolean;
  readonly prefixes: PrefixCache;
  readonly emit: (operation: CacheOp) => void;
}

export interface HostBlockCounts {
  readonly total: number;
  readonly used: number;
}

/**
 * Copies of blocks in host memory: what the pool evicts goes here, what is asked for again comes back, at the price
 * of a copy instead of a computation. A copy stays when its blocks are restored, so they can leave the pool again for free.
 *
 * Segments are kept in order of use, ancestors after their descendants: the oldest never leads to another one.
 */
export class HostTier {
  readonly #options: HostTierOptions;
  readonly #segments = new UseOrder<HostSegment>();
  /** Slots of adopted copies. */
  readonly #adopted = new Set<HostSlot>();
  #numUsed = 0;
  #nextSlot = 0;

  constructor(options: HostTierOptions) {
    this.#options = options;
  }

  get isOn(): boolean {
    return this.#options.maxBlocks > 0;
  }

  get segments(): Iterable<HostSegment> {
    return this.#segments;
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
    return { total: this.#options.maxBlocks, used: this.#numUsed };
  }

  /** Copies those blocks of a table from `startBlock` on that nobody else has a copy of, as far as there is room. */
  save({ seqId, path }: BlockTable, startBlock: number, nowMs: number): void {
    if (!this.isOn) return;
    for (const { start, nodes } of findMissing(path, startBlock, {
      maxLength: this.#options.segmentBlocks,
      nowMs,
    })) {
      if (!this.#makeRoom(this.#numCopied(start, nodes.length), path, nowMs)) break;
      this.#add(seqId, start, nodes);
    }
    this.touch(path.at(-1));
  }

  /** Copies the pinned start of a table even where the pool has it too, so that nothing can take it away. */
  savePinned(table: BlockTable, nowMs: number): void {
    const path = table.path.slice(0, numPinned(table.path, nowMs));
    if (path.length > 0) this.save({ ...table, path }, 0, nowMs);
  }

  /** Copies of pinned blocks. */
  *pinned(nowMs: number): Iterable<HostSegment> {
    for (const segment of this.#segments) {
      if (segment.nodes[0]!.pinnedUntilMs > nowMs) yield segment;
    }
  }

  /**
   * Takes in a copy that was kept outside this process, of the blocks of `key` from `startBlock` on, and pins it.
   * Returns the slot where its bytes belong; null when it is known, leads on from nothing, or there is no room.
   */
  adopt(key: PrefixKey, startBlock: number, untilMs: number): HostSlot | null {
    const { prefixes, blockSize, maxBlocks } = this.#options;
    const numBlocks = Math.floor(key.tokens.length / blockSize) - startBlock;
    const path = prefixes.match(key, startBlock);
    if (path.length < startBlock || this.#numUsed + this.#numCopied(startBlock, numBlocks) > maxBlocks)
      return null;
    while (path.length < startBlock + numBlocks) {
      const node = prefixes.extend(path, key);
      if (node === null || node.hosted !== null) break;
      path.push(node);
    }
    const nodes = path.slice(startBlock);
    if (nodes.length === numBlocks) {
      pinPath(path, untilMs);
      const { slot } = this.#register(startBlock, nodes);
      this.#adopted.add(slot);
      return slot;
    }
    for (const node of nodes.toReversed()) this.prune(node);
    return null;
  }

  /** The copy was kept outside this process. */
  isAdopted(slot: HostSlot): boolean {
    return this.#adopted.has(slot);
  }

  /**
   * Copies back the blocks of `match` that follow the table's path, as far as whole segments fit into its blocks and,
   * for the moment of the copy, into `numFreeBlocks` of the pool.
   */
  restore(table: BlockTable, match: readonly PrefixNode[], numFreeBlocks: number): void {
    if (this.#options.copiesWhole) this.#restoreWhole(table, match);
    else this.#restoreSegments(table, match, numFreeBlocks);
    this.touch(table.path.at(-1));
  }

  /** One copy has it all: that of the deepest block. */
  #restoreWhole({ path, seqId }: BlockTable, match: readonly PrefixNode[]): void {
    const segment = match.at(-1)?.hosted ?? null;
    if (segment === null || path.length >= match.length) return;
    for (const node of match.slice(path.length)) {
      node.holders.add(seqId);
      path.push(node);
    }
    const toPosition = path.length * this.#options.blockSize;
    this.#options.emit({ kind: "restore", slot: segment.slot, seqId, fromPosition: 0, toPosition });
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
      if (segment === null || segment.nodes.length > blocks.length - start + numFreeBlocks) break;
      while (match[path.length]?.hosted === segment) path.push(match[path.length]!);
      for (const node of path.slice(start)) node.holders.add(seqId);
      const range = { fromPosition: start * blockSize, toPosition: path.length * blockSize };
      this.#options.emit({ kind: "restore", slot: segment.slot, seqId, ...range });
    }
  }

  /** The path up to this node has just been of use. */
  touch(last: PrefixNode | undefined): void {
    let previous: HostSegment | null = null;
    for (let node = last ?? null; node !== null; node = node.parent) {
      if (node.hosted !== null && node.hosted !== previous) this.#segments.touch(node.hosted);
      previous = node.hosted;
    }
  }

  /** Forgets the node if there is no copy of it, and then also what hangs below: nothing leads there any more. */
  prune(node: PrefixNode): void {
    if (node.holders.size > 0 || node.hosted !== null) return;
    this.#options.prefixes.remove(node);
    for (const { hosted } of node.children) if (hosted !== null) this.#discard(hosted);
  }

  #add(seqId: number, startBlock: number, nodes: readonly PrefixNode[]): void {
    const segment = this.#register(startBlock, nodes);
    const { blockSize, emit } = this.#options;
    const range = {
      fromPosition: startBlock * blockSize,
      toPosition: (startBlock + nodes.length) * blockSize,
    };
    emit({ kind: "save", slot: segment.slot, seqId, ...range });
  }

  #numCopied(startBlock: number, numBlocks: number): number {
    return this.#options.copiesWhole ? startBlock + numBlocks : numBlocks;
  }

  #register(startBlock: number, nodes: readonly PrefixNode[]): HostSegment {
    const numCopiedBlocks = this.#numCopied(startBlock, nodes.length);
    const segment = { slot: this.#nextSlot++, startBlock, nodes, numCopiedBlocks, older: null, newer: null };
    for (const node of nodes) node.hosted = segment;
    this.#segments.touch(segment);
    this.#numUsed += numCopiedBlocks;
    return segment;
  }

  /** Discards the least recently used that are neither pinned nor part of `path`; false, and no effect, when that is not enough. */
  #makeRoom(numBlocks: number, path: readonly PrefixNode[], nowMs: number): boolean {
    let numFree = this.#options.maxBlocks - this.#numUsed;
    if (numFree >= numBlocks) return true;
    const victims: HostSegment[] = [];
    for (const segment of this.#segments) {
      const first = segment.nodes[0]!;
      const isOwn = path[segment.startBlock] === first;
      if (isOwn || first.pinnedUntilMs > nowMs) continue;
      victims.push(segment);
      numFree += segment.numCopiedBlocks;
      if (numFree >= numBlocks) break;
    }
    if (numFree < numBlocks) return false;
    for (const segment of victims) this.#discard(segment);
    return true;
  }

  #discard(segment: HostSegment): void {
    if (!this.#segments.delete(segment)) return;
    this.#adopted.delete(segment.slot);
    this.#numUsed -= segment.numCopiedBlocks;
    this.#options.emit({ kind: "discard", slot: segment.slot });
    for (const node of segment.nodes.toReversed()) {
      node.hosted = null;
      this.prune(node);
    }
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
