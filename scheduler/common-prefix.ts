import type { Sequence } from "./sequence.ts";

/** Length of the common prefix in whole blocks, in tokens, never the whole of `follower` (see KvCacheManager). */
export function numCommonTokens(leader: Sequence, follower: Sequence, blockSize: number): number {
  if (leader.cacheSalt !== follower.cacheSalt) return 0;
  const maxTokens = Math.min(leader.tokens.length, follower.tokens.length - 1);
  let numTokens = 0;
  while (numTokens < maxTokens && leader.tokens[numTokens] === follower.tokens[numTokens]) numTokens += 1;
  return numTokens - (numTokens % blockSize);
}
