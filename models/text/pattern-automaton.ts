interface Node {
  readonly next: Map<number, Node>;
  /** Where to go on when no edge fits: the node of the longest proper suffix that is in the tree. */
  fallback: Node | null;
  /** Length of the text this node stands for, in UTF-16 units. */
  readonly depth: number;
  /** The longest pattern that ends here. */
  match: string | null;
}

/** A position in a scan; read it with `depthOf` and `matchAt`, advance it with `step`. */
export type ScanState = Node;

/**
 * Finds many strings in one pass over a text that may arrive in pieces, at constant amortized cost a
 * character however long the strings are (Aho and Corasick, 1975).
 */
export class PatternAutomaton {
  readonly start: ScanState = createNode(0);

  constructor(patterns: Iterable<string>) {
    for (const pattern of patterns) this.#insert(pattern);
    this.#linkFallbacks();
  }

  step(state: ScanState, unit: number): ScanState {
    let node: Node | null = state;
    while (node !== null) {
      const next = node.next.get(unit);
      if (next !== undefined) return next;
      node = node.fallback;
    }
    return this.start;
  }

  /** How much of the end of the text read so far is the start of some pattern, in UTF-16 units. */
  depthOf(state: ScanState): number {
    return state.depth;
  }

  /** The longest pattern the text read so far ends with. */
  matchAt(state: ScanState): string | null {
    return state.match;
  }

  #insert(pattern: string): void {
    if (pattern === "") return;
    let node = this.start;
    for (let i = 0; i < pattern.length; i++) {
      const unit = pattern.charCodeAt(i);
      let next = node.next.get(unit);
      if (next === undefined) {
        next = createNode(node.depth + 1);
        node.next.set(unit, next);
      }
      node = next;
    }
    node.match = pattern;
  }

  /** Breadth first, so that a node's fallback, which is shorter, is complete before the node. */
  #linkFallbacks(): void {
    const queue: Node[] = [this.start];
    for (const node of queue) {
      for (const [unit, child] of node.next) {
        child.fallback = node.fallback === null ? this.start : this.step(node.fallback, unit);
        child.match ??= child.fallback.match;
        queue.push(child);
      }
    }
  }
}

function createNode(depth: number): Node {
  return { next: new Map(), fallback: null, depth, match: null };
}
