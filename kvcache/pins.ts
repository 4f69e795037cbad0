import type { PrefixNode } from "./prefix-cache.ts";

/** Whose wish a pin is. Each owner gives up its own pins alone. */
export type PinOwner = string;

/** All requests together: each use prolongs what an earlier one asked for, and nobody ends it. */
export const REQUESTS: PinOwner = "";

export interface Pin {
  readonly owner: PinOwner;
  readonly untilMs: number;
}

/** A wish to keep a prefix: it leaves the pool after all that is not pinned, and host memory only when its time is over. */
export interface PrefixPin {
  readonly owner: PinOwner;
  /** Length of the prefix; only its full blocks are kept. */
  readonly numTokens: number;
  /** From the end of each use on. */
  readonly ttlMs: number;
}

/** Pins of which the time is over are forgotten on the way. */
export function pinPath(path: readonly PrefixNode[], { owner, untilMs }: Pin, nowMs: number): void {
  for (const node of path) {
    const pins = (node.pins ??= new Map());
    for (const [other, otherUntilMs] of pins) if (otherUntilMs <= nowMs) pins.delete(other);
    pins.set(owner, Math.max(pins.get(owner) ?? 0, untilMs));
    node.pinnedUntilMs = Math.max(...pins.values());
  }
}

/** Ends an owner's pin of a path; those of others go on. */
export function unpinPath(path: readonly PrefixNode[], owner: PinOwner): void {
  for (const node of path) {
    if (node.pins?.delete(owner) === true) node.pinnedUntilMs = Math.max(0, ...node.pins.values());
  }
}

/** Leading nodes that are pinned; none follows them. */
export function numPinned(path: readonly PrefixNode[], nowMs: number): number {
  const index = path.findIndex((node) => node.pinnedUntilMs <= nowMs);
  return index === -1 ? path.length : index;
}

/** Leading nodes up to the last pinned one that only the pool has. */
export function numUnsaved(path: readonly PrefixNode[], nowMs: number): number {
  return path.findLastIndex(({ pinnedUntilMs, hosted }) => pinnedUntilMs > nowMs && hosted === null) + 1;
}
