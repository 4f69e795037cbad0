import type { PrefixNode } from "./prefix-cache.ts";

/** A wish to keep a prefix: it leaves the pool after all that is not pinned, and host memory only when its time is over. */
export interface PrefixPin {
  /** Length of the prefix; only its full blocks are kept. */
  readonly numTokens: number;
  readonly untilMs: number;
}

export function pinPath(path: readonly PrefixNode[], untilMs: number): void {
  for (const node of path) node.pinnedUntilMs = Math.max(node.pinnedUntilMs, untilMs);
}

/** Ends the pin of a path, and of shorter ones on it; longer ones, which need it, go on. */
export function unpinPath(path: readonly PrefixNode[]): void {
  for (const node of path.toReversed()) {
    node.pinnedUntilMs = Math.max(0, ...[...node.children].map((child) => child.pinnedUntilMs));
  }
}

/** Leading nodes that are pinned; none follows them. */
export function numPinned(path: readonly PrefixNode[], nowMs: number): number {
  const index = path.findIndex((node) => node.pinnedUntilMs <= nowMs);
  return index === -1 ? path.length : index;
}
