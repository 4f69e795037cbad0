import type { HostCopy } from "./host-copy.ts";
import type { KvMemory, KvRange, NativeKvMemory } from "./kv-memory.ts";

/**
 * The library copies the state of whole sequences, and only of those with an id below n_seq_max. So id 0 is kept for
 * copies: tagging any range of any sequence with it for a moment makes that range a sequence to be copied.
 */
const COPIER_ID = 0;

/** LLAMA_MAX_SEQ (src/llama-cparams.h) less the copier's. */
export const MAX_PAGED_SEQ_IDS = 255;

/** One pool of cells for all sequences (kv_unified): sharing only tags them. */
export class PagedMemory implements KvMemory {
  readonly numSeqIds = MAX_PAGED_SEQ_IDS;
  readonly #native: NativeKvMemory;

  constructor(native: NativeKvMemory) {
    this.#native = native;
  }

  nativeId(seqId: number): number {
    return seqId + 1;
  }

  share(from: number, to: number, numTokens: number): void {
    this.#native.tag(this.nativeId(from), this.nativeId(to), 0, numTokens);
  }

  save({ seqId, fromPosition, toPosition }: KvRange): HostCopy {
    this.#native.tag(this.nativeId(seqId), COPIER_ID, fromPosition, toPosition);
    try {
      return this.#native.read(COPIER_ID);
    } finally {
      this.#native.trim(COPIER_ID, -1);
    }
  }

  restore(copy: HostCopy, { seqId, fromPosition, toPosition }: KvRange): void {
    this.#native.write(copy, COPIER_ID);
    this.#native.tag(COPIER_ID, this.nativeId(seqId), fromPosition, toPosition);
    this.#native.trim(COPIER_ID, -1);
  }
}
