import type { HostSegment } from "./prefix-cache.ts";
import { UseOrder, type UseLinks } from "./use-order.ts";

interface Entry extends UseLinks<Entry> {
  readonly segment: HostSegment;
}

/** What a sequence has asked the disk for. It waits until each piece has come, or will not. */
export class DiskFetch {
  readonly #isPending: () => boolean;

  constructor(isPending: () => boolean) {
    this.#isPending = isPending;
  }

  get isDone(): boolean {
    return !this.#isPending();
  }
}

/**
 * Which segments there is a file of, and which of these are wanted in host memory. The files are somebody else's: this
 * only knows what can be had, in order of use, ancestors after their descendants as in host memory.
 */
export class DiskIndex {
  readonly #entries = new Map<HostSegment, Entry>();
  readonly #order = new UseOrder<Entry>();
  readonly #wanted = new Set<HostSegment>();
  #numBlocks = 0;

  has(segment: HostSegment): boolean {
    return this.#entries.has(segment);
  }

  /** Least recently used first. */
  *segments(): Iterable<HostSegment> {
    for (const { segment } of this.#order) yield segment;
  }

  /** Blocks that files hold, those included that are in memory too. */
  get numBlocks(): number {
    return this.#numBlocks;
  }

  get wanted(): Iterable<HostSegment> {
    return this.#wanted;
  }

  add(segment: HostSegment): void {
    if (this.#entries.has(segment)) return;
    const entry = { segment, older: null, newer: null };
    this.#entries.set(segment, entry);
    this.#order.touch(entry);
    this.#numBlocks += segment.numCopiedBlocks;
  }

  delete(segment: HostSegment): void {
    this.#wanted.delete(segment);
    const entry = this.#entries.get(segment);
    if (entry === undefined) return;
    this.#entries.delete(segment);
    this.#order.delete(entry);
    this.#numBlocks -= segment.numCopiedBlocks;
  }

  touch(segment: HostSegment): void {
    const entry = this.#entries.get(segment);
    if (entry !== undefined) this.#order.touch(entry);
  }

  want(segments: readonly HostSegment[]): DiskFetch {
    for (const segment of segments) this.#wanted.add(segment);
    return new DiskFetch(() => segments.some((segment) => this.#wanted.has(segment)));
  }

  /** The wish for a segment has been granted or denied. */
  settle(segment: HostSegment): void {
    this.#wanted.delete(segment);
  }
}
