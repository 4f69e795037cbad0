export interface KvCacheOptions {
  readonly numBlocks: number;
  /** Tokens per block. */
  readonly blockSize: number;
  /** Ids for running sequences and retained branches together; llama.cpp knows 256. */
  readonly numSeqIds: number;
  /** Idle cached cells cost attention time in the paged layout: more than this many blocks are not kept. */
  readonly maxCachedBlocks: number;
  /** Blocks that may be copied to host memory; none by default. */
  readonly maxHostBlocks?: number;
  /** Most blocks of one such copy. */
  readonly hostSegmentBlocks?: number;
  /** The memory can share a prefix between sequences. */
  readonly canShare: boolean;
  /** The memory can drop positions from the end of a sequence; else only a whole sequence. */
  readonly canTrim: boolean;
}
