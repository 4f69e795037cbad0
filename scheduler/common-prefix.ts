import type { Sequence } from "./sequence.ts";

/** Length of what the follower can share of the leader, in tokens: whole blocks, never the whole of `follower` (see KvCacheManager). */
export function numCommonTokens(leader: Sequence, follower: Sequence, blockSize: number): number {
  if (leader.cacheSalt !== follower.cacheSalt) return 0;
  const numGiven = Math.min(leader.tokens.length, leader.decodesFrom);
  const maxTokens = Math.min(numGiven, follower.tokens.length - 1, follower.maxCachedTokens);
  let numTokens = 0;
  while (numTokens < maxTokens && leader.tokens[numTokens] === follower.tokens[numTokens]) numTokens += 1;
  return numTokens - (numTokens % blockSize);
}
