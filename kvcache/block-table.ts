import type { PrefixPin } from "./pins.ts";
import type { Block, HolderKind } from "./block-pool.ts";
import type { SeqId } from "./cache-op.ts";
import type { PrefixKey, PrefixNode } from "./prefix-cache.ts";

/**
 * The blocks of one sequence, in position order.
 *
 *   blocks   [0 .. path.length)   computed, full, findable by content, maybe shared
 *            [path.length .. end) held by this sequence alone
 */
export interface BlockTable {
  readonly seqId: SeqId;
  /** `tokens` is the sequence's own growing array. */
  readonly key: PrefixKey;
  readonly blocks: Block[];
  /** Content identities of the leading blocks. */
  readonly path: PrefixNode[];
  /** Pin the nodes of the path as it grows. */
  readonly pins: readonly PrefixPin[];
  kind: HolderKind;
}
