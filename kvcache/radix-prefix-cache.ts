import type { SeqId } from "./cache-op.ts";
import { hashBlock } from "./hash-block.ts";
import type { PrefixCache, PrefixKey, PrefixMatch, PrefixNode } from "./prefix-cache.ts";

/**
 * A radix tree over blocks, one root per salt (after SGLang's RadixAttention, arXiv 2312.07104, with vLLM's block grain).
 * Because a holder of a node holds all its ancestors, a single lookup per block finds a donor for the whole prefix.
 */
export class RadixPrefixCache implements PrefixCache {
  readonly #blockSize: number;
  readonly #roots = new Map<string, PrefixNode>();

  constructor(blockSize: number) {
    this.#blockSize = blockSize;
  }

  match(key: PrefixKey, maxBlocks: number): PrefixMatch | null {
    const root = this.#roots.get(key.cacheSalt);
    if (root === undefined) return null;
    let node = root;
    let numBlocks = 0;
    while (numBlocks < maxBlocks) {
      const child = this.#find(node, key.tokens, numBlocks);
      if (child === null) break;
      node = child;
      numBlocks += 1;
    }
    return numBlocks === 0 ? null : { node, numBlocks };
  }

  extend(path: readonly PrefixNode[], key: PrefixKey, seqId: SeqId): PrefixNode | null {
    const parent = path.at(-1) ?? this.#root(key.cacheSalt);
    const node = this.#find(parent, key.tokens, path.length) ?? this.#insert(parent, key.tokens, path.length);
    node?.holders.add(seqId);
    return node;
  }

  adopt(node: PrefixNode, seqId: SeqId): PrefixNode[] {
    const path: PrefixNode[] = [];
    let current = node;
    while (current.parent !== null) {
      current.holders.add(seqId);
      path.push(current);
      current = current.parent;
    }
    return path.reverse();
  }

  leave(node: PrefixNode, seqId: SeqId): void {
    node.holders.delete(seqId);
    if (node.holders.size > 0 || node.parent === null) return;
    node.parent.children.delete(node.hash);
    if (node.parent.parent === null && node.parent.children.size === 0) this.#roots.delete(node.cacheSalt);
  }

  *nodes(): Iterable<PrefixNode> {
    const stack = [...this.#roots.values()].flatMap((root) => [...root.children.values()]);
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      stack.push(...node.children.values());
      yield node;
    }
  }

  #root(cacheSalt: string): PrefixNode {
    let root = this.#roots.get(cacheSalt);
    if (root === undefined) {
      root = { cacheSalt, parent: null, hash: 0, tokens: [], children: new Map(), holders: new Set() };
      this.#roots.set(cacheSalt, root);
    }
    return root;
  }

  #find(parent: PrefixNode, tokens: readonly number[], blockIndex: number): PrefixNode | null {
    const start = blockIndex * this.#blockSize;
    const child = parent.children.get(hashBlock(tokens, start, start + this.#blockSize));
    return child !== undefined && hasTokens(child, tokens, start) ? child : null;
  }

  /** Two different blocks of one parent with the same hash: the second stays unindexed, a miss but never a wrong hit. */
  #insert(parent: PrefixNode, tokens: readonly number[], blockIndex: number): PrefixNode | null {
    const start = blockIndex * this.#blockSize;
    const blockTokens = tokens.slice(start, start + this.#blockSize);
    const hash = hashBlock(blockTokens, 0, blockTokens.length);
    if (parent.children.has(hash)) return null;
    const { cacheSalt } = parent;
    const node = {
      cacheSalt,
      parent,
      hash,
      tokens: blockTokens,
      children: new Map(),
      holders: new Set<SeqId>(),
    };
    parent.children.set(hash, node);
    return node;
  }
}

function hasTokens(node: PrefixNode, tokens: readonly number[], start: number): boolean {
  return node.tokens.every((token, index) => token === tokens[start + index]);
}
