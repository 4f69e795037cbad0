import { mix, type PathKey } from "./prefix-lru.ts";
import type { ReplicaModel } from "./replica-model.ts";
import type { SimRequest } from "../sim-request.ts";

export const ROUTINGS = ["round-robin", "least-loaded", "prefix-hash", "prefix-aware"] as const;
export type RoutingName = (typeof ROUTINGS)[number];

export const ROUTING_HELP: Record<RoutingName, string> = {
  "round-robin": "one after the other",
  "least-loaded": "to the least work in hand",
  "prefix-hash":
    "by the prompt's beginning on a hash ring; past replicas with more than 1.25 x the mean work",
  "prefix-aware": "to the least work in hand, plus the part of the prompt that is not cached there",
};

/** Index of the replica that takes a request. */
export type Router = (request: SimRequest, keys: readonly PathKey[]) => number;

export function createRouter(
  name: RoutingName,
  replicas: readonly ReplicaModel[],
  prefillMsPerToken: number,
): Router {
  const backlog = (index: number): number => replicas[index]!.backlogMs;
  switch (name) {
    case "round-robin": {
      let next = 0;
      return () => next++ % replicas.length;
    }
    case "least-loaded":
      return () => indexOfLeast(replicas.length, backlog, backlog);
    case "prefix-hash":
      return createHashRouter(replicas);
    case "prefix-aware":
      return (request, keys) =>
        indexOfLeast(replicas.length, backlog, (index) => {
          const numNew = request.numPromptTokens - replicas[index]!.cache.numCachedTokens(keys);
          return backlog(index) + numNew * prefillMsPerToken;
        });
  }
}

/** `boundOf` is never above `valueOf` and cheaper: most of hundreds of replicas need no look into their caches. */
function indexOfLeast(
  count: number,
  boundOf: (index: number) => number,
  valueOf: (index: number) => number,
): number {
  let least = 0;
  let leastValue = valueOf(0);
  for (let index = 1; index < count; index += 1) {
    if (boundOf(index) >= leastValue) continue;
    const value = valueOf(index);
    if (value < leastValue) [least, leastValue] = [index, value];
  }
  return least;
}

const NUM_POINTS_PER_REPLICA = 64;
const MAX_LOAD = 1.25;

/** Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, SODA '18). */
function createHashRouter(replicas: readonly ReplicaModel[]): Router {
  const ring = replicas
    .flatMap((_, index) =>
      Array.from({ length: NUM_POINTS_PER_REPLICA }, (_each, point) => ({
        at: mix(index + 1, point),
        index,
      })),
    )
    .sort((left, right) => left.at - right.at);
  return (_request, keys) => {
    const total = replicas.reduce((sum, replica) => sum + replica.backlogMs, 0);
    const limit = (MAX_LOAD * total) / replicas.length;
    const start = firstAtOrAfter(ring, beginningOf(keys));
    for (let count = 0; count < ring.length; count += 1) {
      const { index } = ring[(start + count) % ring.length]!;
      if (replicas[index]!.backlogMs <= limit) return index;
    }
    return ring[start]!.index;
  };
}

/** The first two segments where more follow: many prompts share the very first, a system prompt. */
function beginningOf(keys: readonly PathKey[]): PathKey {
  return keys[Math.max(0, Math.min(1, keys.length - 2))]!;
}

function firstAtOrAfter(ring: readonly { readonly at: number }[], key: number): number {
  let low = 0;
  let high = ring.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ring[middle]!.at < key) low = middle + 1;
    else high = middle;
  }
  return low % ring.length;
}
