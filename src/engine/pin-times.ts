import type { Pin, PinOwner } from "../../kvcache/pins.ts";
import type { PrefixNode } from "../../kvcache/prefix-cache.ts";

/** When each owner's pin ends, in Unix milliseconds. */
export type PinTimes = Readonly<Record<PinOwner, number>>;

/** A pin that ends sooner is not worth a file. One of 10 minutes is, some of which went by while it was computed. */
const MIN_REMAINING_MS = 9 * 60_000;

/** Of monotonic milliseconds, those of the pins in memory, and of Unix ones. */
export interface Clocks {
  readonly nowMs: number;
  readonly unixMs: number;
}

/** When the last pin ends; 0 without one. */
export function expiryOf(pins: PinTimes): number {
  return Math.max(0, ...Object.values(pins));
}

/** The pins of a node whose time is not over. */
export function pinTimesOf({ pins }: PrefixNode, { nowMs, unixMs }: Clocks): PinTimes {
  const current = [...(pins ?? [])].filter(([, untilMs]) => untilMs > nowMs);
  return Object.fromEntries(current.map(([owner, untilMs]) => [owner, Math.round(unixMs + untilMs - nowMs)]));
}

/** The same for memory. */
export function toPins(times: PinTimes, { nowMs, unixMs }: Clocks): Pin[] {
  return Object.entries(times).map(([owner, expiresAtMs]) => ({
    owner,
    untilMs: nowMs + expiresAtMs - unixMs,
  }));
}

/** The pins in a file differ enough from those in memory: one is missing, has been given up, or ends much too early. */
export function isFileDue(inFile: PinTimes, inMemory: PinTimes, unixMs: number): boolean {
  const isGivenUp = Object.entries(inFile).some(
    ([owner, expiresAtMs]) => expiresAtMs > unixMs && inMemory[owner] === undefined,
  );
  return (
    isGivenUp ||
    Object.entries(inMemory).some(([owner, untilMs]) => isLate(inFile[owner] ?? 0, untilMs, unixMs))
  );
}

/** Pins that are prolonged by every use are written again only when half of their time is over. */
function isLate(inFileMs: number, inMemoryMs: number, unixMs: number): boolean {
  const remainingMs = inMemoryMs - unixMs;
  return inFileMs === 0 ? remainingMs >= MIN_REMAINING_MS : inFileMs < unixMs + remainingMs / 2;
}
