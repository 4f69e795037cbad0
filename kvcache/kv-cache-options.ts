/**
 * How sequences lie in memory:
 *
 *   paged     any cell serves any sequence, and may serve several: prefixes are shared by tagging cells
 *   streams   each sequence id has a fixed slice of cells of its own: prefixes are shared by copying them
 */
export type KvLayout = "paged" | "streams";

export interface KvCacheOptions {
  /** Paged by default. In streams the pool holds a sequence of full length for every id, so memory never runs short. */
  readonly layout?: KvLayout;
  readonly numBlocks: number;
  /** Tokens per block. */
  readonly blockSize: number;
  /** Ids for running sequences and retained branches together; llama.cpp knows 256. */
  readonly numSeqIds: number;
  /**
   * Idle cached cells cost attention time in the paged layout: more than this many blocks are not kept, unless they are
   * pinned and host memory has no room for them.
   */
  readonly maxCachedBlocks: number;
  /** What is pinned is kept, true by default. */
  readonly canPin?: boolean;
  /** Blocks that may be copied to host memory; none by default. */
  readonly maxHostBlocks?: number;
  /** Most blocks of one such copy. */
  readonly hostSegmentBlocks?: number;
  /** The memory can share a prefix between sequences. */
  readonly canShare: boolean;
  /** The memory can drop positions from the end of a sequence; else only a whole sequence. */
  readonly canTrim: boolean;
}
