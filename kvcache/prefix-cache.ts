import type { SeqId } from "./cache-op.ts";

/**
 * The identity of one computed, full block: its own tokens after everything before it.
 * Two sequences with equal tokens and salt up to here pass through the same node,
 * whether or not they share the physical block.
 */
export interface PrefixNode {
  readonly cacheSalt: string;
  /** Null only for the root of a salt, which stands for the empty prefix. */
  readonly parent: PrefixNode | null;
  /** Key in the parent's `children`. */
  readonly hash: number;
  /** The block's token ids: hashes only find candidates, tokens decide. */
  readonly tokens: readonly number[];
  readonly children: Map<number, PrefixNode>;
  /** Sequences whose computed blocks reach at least to here. Never empty while the node is in the tree. */
  readonly holders: Set<SeqId>;
}

/** The start of a path. Salts never share, so a tenant cannot time another's prompts. */
export interface PrefixKey {
  readonly tokens: readonly number[];
  readonly cacheSalt: string;
}

/** A computed prefix: `numBlocks` full blocks, all of them held by every holder of `node`. */
export interface PrefixMatch {
  readonly node: PrefixNode;
  readonly numBlocks: number;
}

/** Finds computed prefixes by content. It knows sequences and tokens, not blocks or memory. */
export interface PrefixCache {
  /** The longest computed prefix of the key, at most `maxBlocks` long; null when not even one block is. */
  match(key: PrefixKey, maxBlocks: number): PrefixMatch | null;
  /**
   * Records that `seqId` has computed block `path.length` of the key, `path` being its nodes so far.
   * Returns the new node, or null when this block cannot be indexed.
   */
  extend(path: readonly PrefixNode[], key: PrefixKey, seqId: SeqId): PrefixNode | null;
  /** Records that `seqId` shares everything up to `node`; returns its path. */
  adopt(node: PrefixNode, seqId: SeqId): PrefixNode[];
  /** `seqId` no longer reaches `node`. Call deepest node first; a node without holders is forgotten. */
  leave(node: PrefixNode, seqId: SeqId): void;
  /** All nodes in the tree, for the integrity check. */
  nodes(): Iterable<PrefixNode>;
}
