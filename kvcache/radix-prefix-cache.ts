import { hashBlock } from "./hash-block.ts";
import type { PrefixCache, PrefixKey, PrefixNode } from "./prefix-cache.ts";

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

  match(key: PrefixKey, maxBlocks: number): PrefixNode[] {
    const path: PrefixNode[] = [];
    let node = this.#roots.get(key.cacheSalt) ?? null;
    while (node !== null && path.length < maxBlocks) {
      node = this.#find(node, key.tokens, path.length);
      if (node !== null) path.push(node);
    }
    return path;
  }

  extend(path: readonly PrefixNode[], key: PrefixKey): PrefixNode | null {
    const parent = path.at(-1) ?? this.#root(key.cacheSalt);
    return this.#find(parent, key.tokens, path.length) ?? this.#insert(parent, key.tokens, path.length);
  }

  remove(node: PrefixNode): void {
    const { parent } = node;
    if (parent === null) return;
    parent.children.delete(node.hash);
    if (parent.parent === null && parent.children.size === 0) this.#roots.delete(node.cacheSalt);
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
      root = createNode({ cacheSalt, parent: null, hash: 0, tokens: [] });
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
    const node = createNode({ cacheSalt: parent.cacheSalt, parent, hash, tokens: blockTokens });
    parent.children.set(hash, node);
    return node;
  }
}

function createNode(identity: Pick<PrefixNode, "cacheSalt" | "parent" | "hash" | "tokens">): PrefixNode {
  return { ...identity, children: new Map(), holders: new Set(), hosted: null, pinnedUntilMs: 0 };
}

function hasTokens(node: PrefixNode, tokens: readonly number[], start: number): boolean {
  return node.tokens.every((token, index) => token === tokens[start + index]);
}
