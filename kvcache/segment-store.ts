import type { CacheOp, HostSlot } from "./cache-op.ts";
import { DiskIndex } from "./disk-index.ts";
import type { HostSegment, PrefixCache, PrefixNode } from "./prefix-cache.ts";
import { UseOrder } from "./use-order.ts";

export interface SegmentStoreOptions {
  /** Blocks that memory may hold; 0 turns the tier off. */
  readonly maxBlocks: number;
  readonly blockSize: number;
  /** A copy always begins with the first block of its sequence, and takes the place of what a sequence has. */
  readonly copiesWhole: boolean;
  readonly prefixes: PrefixCache;
  readonly emit: (operation: CacheOp) => void;
}

/**
 * All segments, and where their bytes are: in host memory, on disk, or both. A segment that is in neither is forgotten,
 * and with it what only it led to.
 *
 * Segments are kept in order of use, ancestors after their descendants: the oldest never leads to another one.
 */
export class SegmentStore {
  readonly options: SegmentStoreOptions;
  readonly disk = new DiskIndex();
  readonly #inMemory = new UseOrder<HostSegment>();
  /** Slots of copies that came from disk and have not been of use since. */
  readonly #fromDisk = new Set<HostSlot>();
  #numUsed = 0;
  #nextSlot = 0;

  constructor(options: SegmentStoreOptions) {
    this.options = options;
  }

  /** Those in memory, least recently used first. */
  get inMemory(): Iterable<HostSegment> {
    return this.#inMemory;
  }

  /** Blocks in memory. */
  get numUsed(): number {
    return this.#numUsed;
  }

  isInMemory(segment: HostSegment | null | undefined): segment is HostSegment {
    return segment !== null && segment !== undefined && this.#inMemory.has(segment);
  }

  isOnlyOnDisk(segment: HostSegment | null | undefined): segment is HostSegment {
    return segment !== null && segment !== undefined && this.disk.has(segment) && !this.isInMemory(segment);
  }

  numCopied(startBlock: number, numBlocks: number): number {
    return this.options.copiesWhole ? startBlock + numBlocks : numBlocks;
  }

  /** A segment of these nodes, which the caller gives a place. */
  create(startBlock: number, nodes: readonly PrefixNode[]): HostSegment {
    const numCopiedBlocks = this.numCopied(startBlock, nodes.length);
    const segment = { slot: -1, startBlock, nodes, numCopiedBlocks, older: null, newer: null };
    for (const node of nodes) node.hosted = segment;
    return segment;
  }

  /** The segment is in memory from now on, in a new slot: the last one may still be about to be discarded. */
  enterMemory(segment: HostSegment, { isFromDisk }: { readonly isFromDisk: boolean }): void {
    segment.slot = this.#nextSlot++;
    this.#inMemory.touch(segment);
    this.#numUsed += segment.numCopiedBlocks;
    if (isFromDisk) this.#fromDisk.add(segment.slot);
  }

  /** True once for each copy that came from disk, at its first use. */
  isFirstUseFromDisk(slot: HostSlot): boolean {
    return this.#fromDisk.delete(slot);
  }

  /** The path up to this node has just been of use. */
  touch(last: PrefixNode | undefined): void {
    let previous: HostSegment | null = null;
    for (let node = last ?? null; node !== null; node = node.parent) {
      if (node.hosted !== null && node.hosted !== previous) {
        if (this.#inMemory.has(node.hosted)) this.#inMemory.touch(node.hosted);
        this.disk.touch(node.hosted);
      }
      previous = node.hosted;
    }
  }

  /** There is memory for so many blocks, or would be without those that `makeRoom` may take. */
  hasRoom(numBlocks: number, path: readonly PrefixNode[], nowMs: number): boolean {
    return this.#victims(numBlocks, path, nowMs) !== null;
  }

  /**
   * Frees memory of the least recently used that are neither pinned nor part of `path`: what is on disk stays there,
   * the rest is lost. False, and no effect, when that is not enough.
   */
  makeRoom(numBlocks: number, path: readonly PrefixNode[], nowMs: number): boolean {
    const victims = this.#victims(numBlocks, path, nowMs);
    if (victims === null) return false;
    for (const segment of victims) {
      if (this.disk.has(segment)) this.#leaveMemory(segment);
      else this.forget(segment);
    }
    return true;
  }

  /** Forgets the node if there is no copy of it, and then also what hangs below: nothing leads there any more. */
  prune(node: PrefixNode): void {
    if (node.holders.size > 0 || node.hosted !== null) return;
    this.options.prefixes.remove(node);
    if (node.children.size === 0) return;
    for (const { hosted } of node.children) if (hosted !== null) this.forget(hosted);
  }

  forget(segment: HostSegment): void {
    this.#leaveMemory(segment);
    this.disk.delete(segment);
    for (const node of segment.nodes.toReversed()) {
      if (node.hosted !== segment) continue;
      node.hosted = null;
      this.prune(node);
    }
  }

  #victims(numBlocks: number, path: readonly PrefixNode[], nowMs: number): HostSegment[] | null {
    let numFree = this.options.maxBlocks - this.#numUsed;
    const victims: HostSegment[] = [];
    if (numFree >= numBlocks) return victims;
    for (const segment of this.#inMemory) {
      const first = segment.nodes[0]!;
      const isOwn = path[segment.startBlock] === first;
      if (isOwn || first.pinnedUntilMs > nowMs) continue;
      victims.push(segment);
      numFree += segment.numCopiedBlocks;
      if (numFree >= numBlocks) return victims;
    }
    return null;
  }

  #leaveMemory(segment: HostSegment): void {
    if (!this.#inMemory.delete(segment)) return;
    this.#fromDisk.delete(segment.slot);
    this.#numUsed -= segment.numCopiedBlocks;
    this.options.emit({ kind: "discard", slot: segment.slot });
  }
}

/** All nodes up to the end of a segment, from the first on. */
export function pathTo({ nodes }: HostSegment): PrefixNode[] {
  const path: PrefixNode[] = [];
  for (let node = nodes.at(-1)!; node.parent !== null; node = node.parent) path.push(node);
  return path.toReversed();
}
