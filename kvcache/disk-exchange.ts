import type { HostSlot } from "./cache-op.ts";
import { isWorthCopying } from "./copy-worth.ts";
import type { DiskFetch, DiskIndex } from "./disk-index.ts";
import { pinPath, type Pin } from "./pins.ts";
import type { HostSegment, PrefixKey, PrefixNode } from "./prefix-cache.ts";
import { pathTo, type SegmentStore } from "./segment-store.ts";

/**
 * The tier below host memory, as far as it can be known without touching a file. Whoever has the files asks what to
 * write and what to read next, and tells what came of it.
 */
export class DiskExchange {
  readonly #store: SegmentStore;

  constructor(store: SegmentStore) {
    this.#store = store;
  }

  get index(): DiskIndex {
    return this.#store.disk;
  }

  /**
   * Takes in a copy from an earlier process, of the blocks of `key` from `startBlock` on, and pins it. Its bytes belong
   * into its slot. Null when it is known, leads on from nothing, or there is no room.
   */
  adopt(key: PrefixKey, startBlock: number, pins: readonly Pin[], nowMs: number): HostSegment | null {
    const { blockSize, maxBlocks } = this.#store.options;
    const numBlocks = Math.floor(key.tokens.length / blockSize) - startBlock;
    if (this.#store.numUsed + this.#store.numCopied(startBlock, numBlocks) > maxBlocks) return null;
    const segment = this.#graft(key, startBlock);
    if (segment === null) return null;
    this.pin(segment, pins, nowMs);
    this.#store.enterMemory(segment, { isFromDisk: true });
    this.index.add(segment);
    return segment;
  }

  /** Notes that there is a file of such blocks, and pins them. Null when they are known or lead on from nothing. */
  noteFile(key: PrefixKey, startBlock: number, pins: readonly Pin[], nowMs: number): HostSegment | null {
    if (this.#store.options.maxBlocks === 0) return null;
    const segment = this.#graft(key, startBlock);
    if (segment === null) return null;
    this.pin(segment, pins, nowMs);
    this.index.add(segment);
    return segment;
  }

  /** Keeps a segment and what leads there. */
  pin(segment: HostSegment, pins: readonly Pin[], nowMs: number): void {
    const path = pathTo(segment);
    for (const pin of pins) pinPath(path, pin, nowMs);
  }

  /** A segment that is in memory has become a file too. False when it is lost already. */
  noteWritten(segment: HostSegment): boolean {
    if (!this.#store.isInMemory(segment)) return false;
    this.index.add(segment);
    this.touch(segment);
    return true;
  }

  /** Makes a segment the last to go from disk, but for what leads there. */
  touch(segment: HostSegment): void {
    for (const { hosted } of pathTo(segment).toReversed()) if (hosted !== null) this.index.touch(hosted);
  }

  /** The file of a segment is gone, or of no use. */
  noteRemoved(segment: HostSegment): void {
    this.index.delete(segment);
    if (!this.#store.isInMemory(segment)) this.#store.forget(segment);
  }

  /** The bytes of a file are there. Returns the slot where they belong; null when they came in vain. */
  load(segment: HostSegment, nowMs: number): HostSlot | null {
    this.index.settle(segment);
    if (!this.#store.isOnlyOnDisk(segment)) return null;
    if (!this.#store.makeRoom(segment.numCopiedBlocks, pathTo(segment), nowMs)) return null;
    this.#store.enterMemory(segment, { isFromDisk: true });
    this.#store.touch(segment.nodes.at(-1));
    return segment.slot;
  }

  /** Asks for what only the disk has of a match, `numAvailable` nodes of which can be had without. */
  fetch(match: readonly PrefixNode[], numAvailable: number): DiskFetch {
    return this.index.want([...this.#findMissing(match, numAvailable)]);
  }

  #findMissing(match: readonly PrefixNode[], numAvailable: number): Set<HostSegment> {
    const missing = match.slice(numAvailable).map(({ hosted }) => hosted);
    if (!this.#store.options.copiesWhole)
      return new Set(missing.filter((it) => this.#store.isOnlyOnDisk(it)));
    const last = missing.at(-1);
    // Not a large copy for a few blocks, at its start or its end.
    const isWorthIt =
      missing.length * 2 > match.length &&
      this.#store.isOnlyOnDisk(last) &&
      isWorthCopying(match.length, last.numCopiedBlocks);
    return new Set(isWorthIt ? [last] : []);
  }

  /**
   * What the disk should have next, before memory runs out: of the older half of memory the segment that goes first,
   * or rather what leads there, without which its file could not be found. Null when nothing is missing.
   */
  nextToWrite(): HostSegment | null {
    for (const segment of this.cold()) if (!this.index.has(segment)) return this.#firstUnwritten(segment);
    return null;
  }

  /** What is in memory beyond half of what fits, least recently used first. */
  *cold(): Iterable<HostSegment> {
    let numAhead = this.#store.numUsed - Math.floor(this.#store.options.maxBlocks / 2);
    for (const segment of this.#store.inMemory) {
      if (numAhead <= 0) return;
      numAhead -= segment.numCopiedBlocks;
      yield segment;
    }
  }

  #firstUnwritten(segment: HostSegment): HostSegment {
    const isUnwritten = ({ hosted }: PrefixNode): boolean =>
      this.#store.isInMemory(hosted) && !this.index.has(hosted);
    return pathTo(segment).find(isUnwritten)?.hosted ?? segment;
  }

  /** A segment of all blocks of a key from `startBlock` on; null when some are known, or what leads there is not. */
  #graft(key: PrefixKey, startBlock: number): HostSegment | null {
    const { prefixes, blockSize } = this.#store.options;
    const numBlocks = Math.floor(key.tokens.length / blockSize);
    const path = prefixes.match(key, startBlock);
    if (path.length < startBlock || numBlocks <= startBlock) return null;
    while (path.length < numBlocks) {
      const node = prefixes.extend(path, key);
      if (node === null || node.hosted !== null) break;
      path.push(node);
    }
    const nodes = path.slice(startBlock);
    if (path.length === numBlocks) return this.#store.create(startBlock, nodes);
    for (const node of nodes.toReversed()) this.#store.prune(node);
    return null;
  }
}
