import type { KvCacheManager } from "../kvcache/kv-cache-manager.ts";
import { numCommonTokens } from "./common-prefix.ts";
import type { Sequence } from "./sequence.ts";

/**
 * Of these running sequences the one that `follower` waits for: it is about to compute most of what they have in common
 * and the cache has not. Undefined where none computes more for it than it must first catch up with the cache.
 */
export function findLeader(
  follower: Sequence,
  candidates: readonly Sequence[],
  kv: KvCacheManager,
): Sequence | undefined {
  const { canShare, blockSize } = kv.options;
  if (!canShare || follower.wantsPromptLogprobs) return undefined;
  const alike = candidates.filter((candidate) => isAlikeAt(0, candidate, follower));
  if (alike.length === 0) return undefined;
  const numCached = kv.numCachedTokens(follower);
  let leader: Sequence | undefined;
  let mostTokens = numCached;
  for (const candidate of alike) {
    // Prompts that begin alike mostly differ where the cache ends: comparing the rest of them would take long.
    if (!isAlikeAt(numCached, candidate, follower)) continue;
    const numTokens = numCommonTokens(candidate, follower, blockSize);
    const { numComputedTokens } = candidate;
    const isPast = numComputedTokens >= numTokens;
    const numBehind = numCached - numComputedTokens;
    if (numTokens <= mostTokens || isPast || numBehind > numTokens - numCached) continue;
    mostTokens = numTokens;
    leader = candidate;
  }
  return leader;
}

function isAlikeAt(position: number, left: Sequence, right: Sequence): boolean {
  return left.tokens[position] === right.tokens[position];
}
