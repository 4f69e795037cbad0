import type { SeqId } from "./cache-op.ts";
import type { PrefixPin } from "./pins.ts";
import type { PrefixKey } from "./prefix-cache.ts";

export interface AdmissionRequest {
  /** The sequence's tokens; the manager keeps the array and reads tokens appended later. */
  readonly key: PrefixKey;
  /** False for a sequence that must compute all of its prompt. */
  readonly useCachedPrefix: boolean;
  /** Blocks that must stay free or evictable afterwards, as room for others to grow. */
  readonly numReserveBlocks: number;
  /** Each from the first token on. */
  readonly pins?: readonly PrefixPin[];
}

export interface Admission {
  readonly seqId: SeqId;
  /** Leading tokens whose KV entries are shared or restored, not computed. Less than the number of tokens. */
  readonly numCachedTokens: number;
  /** Those of them that came back from host memory. */
  readonly numRestoredTokens: number;
}
