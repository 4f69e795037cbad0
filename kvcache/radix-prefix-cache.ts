import { ChildNodes } from "./child-nodes.ts";
import { hashBlock } from "./hash-block.ts";
import { HolderSet } from "./holder-set.ts";
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
    const start = path.length * this.#blockSize;
    const end = start + this.#blockSize;
    const hash = hashBlock(key.tokens, start, end);
    const child = parent.children.get(hash);
    // Two different blocks of one parent with the same hash: the second stays unindexed, a miss but never a wrong hit.
    if (child !== null) return hasTokens(child, key.tokens, start) ? child : null;
    const node = createNode(parent.cacheSalt, parent, { hash, tokens: key.tokens.slice(start, end) });
    parent.children.add(node);
    return node;
  }

  remove(node: PrefixNode): void {
    const { parent } = node;
    if (parent === null) return;
    parent.children.delete(node);
    if (parent.parent === null && parent.children.size === 0) this.#roots.delete(node.cacheSalt);
  }

  *nodes(): Iterable<PrefixNode> {
    const stack = [...this.#roots.values()].flatMap((root) => [...root.children]);
    for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
      stack.push(...node.children);
      yield node;
    }
  }

  #root(cacheSalt: string): PrefixNode {
    let root = this.#roots.get(cacheSalt);
    if (root === undefined) {
      root = createNode(cacheSalt, null, { hash: 0, tokens: [] });
      this.#roots.set(cacheSalt, root);
    }
    return root;
  }

  #find(parent: PrefixNode, tokens: readonly number[], blockIndex: number): PrefixNode | null {
    const start = blockIndex * this.#blockSize;
    const child = parent.children.get(hashBlock(tokens, start, start + this.#blockSize));
    return child !== null && hasTokens(child, tokens, start) ? child : null;
  }
}

function createNode(
  cacheSalt: string,
  parent: PrefixNode | null,
  { hash, tokens }: Pick<PrefixNode, "hash" | "tokens">,
): PrefixNode {
  const children = new ChildNodes();
  const holders = new HolderSet();
  return { cacheSalt, parent, hash, tokens, children, holders, hosted: null, pinnedUntilMs: 0, pins: null };
}

function hasTokens(node: PrefixNode, tokens: readonly number[], start: number): boolean {
  for (let index = 0; index < node.tokens.length; index += 1) {
    if (node.tokens[index] !== tokens[start + index]) return false;
  }
  return true;
}
