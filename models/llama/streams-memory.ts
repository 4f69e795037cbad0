import type { HostCopy } from "./host-copy.ts";
import type { KvMemory, KvRange, NativeKvMemory } from "./kv-memory.ts";

/**
 * A slice of cells for each sequence. The library copies slices whole or not at all, so copies begin at position 0 and
 * take the place of what the receiver has; what is too much is trimmed.
 */
export class StreamsMemory implements KvMemory {
  readonly numSeqIds: number;
  readonly #native: NativeKvMemory;

  constructor(native: NativeKvMemory, numSeqIds: number) {
    this.#native = native;
    this.numSeqIds = numSeqIds;
  }

  nativeId(seqId: number): number {
    return seqId;
  }

  share(from: number, to: number, numTokens: number): void {
    const copy = this.#native.read(from);
    try {
      this.restore(copy, { seqId: to, fromPosition: 0, toPosition: numTokens });
    } finally {
      copy.free();
    }
  }

  save({ seqId }: KvRange): HostCopy {
    return this.#native.read(seqId);
  }

  restore(copy: HostCopy, { seqId, toPosition }: KvRange): void {
    this.#native.write(copy, seqId);
    this.#native.trim(seqId, toPosition);
  }
}
