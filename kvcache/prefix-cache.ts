import type { HostSlot } from "./cache-op.ts";
import type { ChildNodes } from "./child-nodes.ts";
import type { HolderSet } from "./holder-set.ts";
import type { PinOwner } from "./pins.ts";
import type { UseLinks } from "./use-order.ts";

/**
 * The identity of one computed, full block: its own tokens after everything before it.
 * Two sequences with equal tokens and salt up to here pass through the same node,
 * whether or not they share the physical block. A node is in the tree as long as there is a copy of its block:
 * a holder in the pool, or a segment in host memory or on disk.
 */
export interface PrefixNode {
  readonly cacheSalt: string;
  /** Null only for the root of a salt, which stands for the empty prefix. */
  readonly parent: PrefixNode | null;
  /** Key in the parent's `children`. */
  readonly hash: number;
  /** The block's token ids: hashes only find candidates, tokens decide. */
  readonly tokens: readonly number[];
  readonly children: ChildNodes;
  /** Sequences whose computed blocks reach at least to here. */
  readonly holders: HolderSet;
  hosted: HostSegment | null;
  /** Until then the block stays in some tier if at all possible; never later than its parent's. */
  pinnedUntilMs: number;
  /** When each owner's pin ends; the last of them is `pinnedUntilMs`. Null for what nobody has ever pinned. */
  pins: Map<PinOwner, number> | null;
}

/** Consecutive blocks of one path that were copied together: to host memory, and from there to disk or back. */
export interface HostSegment extends UseLinks<HostSegment> {
  /** Of its copy in host memory; another one each time that it comes back from disk. */
  slot: HostSlot;
  /** Index of the first node's block. */
  readonly startBlock: number;
  readonly nodes: readonly PrefixNode[];
  /** Blocks that the copy takes room for: those of `nodes` and, where only whole sequences can be copied, all before. */
  readonly numCopiedBlocks: number;
}

/** The start of a path. Salts never share, so a tenant cannot time another's prompts. */
export interface PrefixKey {
  readonly tokens: readonly number[];
  readonly cacheSalt: string;
  /** Leading tokens that may come from the cache; all but the last by default. */
  readonly maxCachedTokens?: number;
}

/** Finds computed prefixes by content. It knows sequences and tokens, not blocks or memory. */
export interface PrefixCache {
  /**
   * The longest computed prefix of the key, at most `maxBlocks` long: one node a block. Nodes in the pool come first,
   * since a holder of a node holds all its ancestors; those that only host memory or the disk has follow.
   */
  match(key: PrefixKey, maxBlocks: number): PrefixNode[];
  /**
   * The node of block `path.length` of the key, `path` being the nodes before it; a new one if need be, which the
   * caller gives a copy. Null when this block cannot be indexed.
   */
  extend(path: readonly PrefixNode[], key: PrefixKey): PrefixNode | null;
  /** Forgets a node of which there is no copy any more. */
  remove(node: PrefixNode): void;
  /** All nodes in the tree, for the integrity check. */
  nodes(): Iterable<PrefixNode>;
}
