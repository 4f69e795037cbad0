import type { PrefixNode } from "./prefix-cache.ts";

/** The nodes after one node, by hash. Mostly there is one, which needs no table; see HolderSet. */
export class ChildNodes implements Iterable<PrefixNode> {
  #only: PrefixNode | null = null;
  /** All of them, once there have been two. */
  #byHash: Map<number, PrefixNode> | null = null;

  get size(): number {
    return this.#byHash?.size ?? (this.#only === null ? 0 : 1);
  }

  get(hash: number): PrefixNode | null {
    if (this.#byHash !== null) return this.#byHash.get(hash) ?? null;
    return this.#only?.hash === hash ? this.#only : null;
  }

  /** A node with a hash that none has yet. */
  add(node: PrefixNode): void {
    if (this.#byHash !== null) this.#byHash.set(node.hash, node);
    else if (this.#only === null) this.#only = node;
    else {
      this.#byHash = new Map([this.#only, node].map((each) => [each.hash, each]));
      this.#only = null;
    }
  }

  delete(node: PrefixNode): void {
    if (this.#only === node) this.#only = null;
    else this.#byHash?.delete(node.hash);
  }

  *[Symbol.iterator](): Iterator<PrefixNode> {
    if (this.#only !== null) yield this.#only;
    if (this.#byHash !== null) yield* this.#byHash.values();
  }
}
