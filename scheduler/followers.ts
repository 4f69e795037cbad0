import type { Sequence } from "./sequence.ts";

/**
 * Waiting sequences whose prompt begins with what a running one, the leader, is computing right now.
 * They wait for it and share, instead of computing the same again. A leader is always the more urgent of the two,
 * so waiting costs a follower nothing; whatever ends or pauses the leader's run releases them.
 */
export class Followers {
  readonly #leaderOf = new Map<Sequence, Sequence>();
  /** By leader: how many tokens it must have computed for each follower to have all they share. */
  readonly #followersOf = new Map<Sequence, Map<Sequence, number>>();

  add(follower: Sequence, leader: Sequence, numSharedTokens: number): void {
    const followers = this.#followersOf.get(leader) ?? new Map<Sequence, number>();
    followers.set(follower, numSharedTokens);
    this.#followersOf.set(leader, followers);
    this.#leaderOf.set(follower, leader);
  }

  /** Returns false when the sequence isn't deferred. */
  remove(follower: Sequence): boolean {
    const leader = this.#leaderOf.get(follower);
    if (leader === undefined) return false;
    const followers = this.#followersOf.get(leader)!;
    followers.delete(follower);
    if (followers.size === 0) this.#followersOf.delete(leader);
    return this.#leaderOf.delete(follower);
  }

  /** Takes out the followers that need not wait for the leader any longer. */
  release(leader: Sequence): Sequence[] {
    const followers = this.#followersOf.get(leader);
    if (followers === undefined) return [];
    const released = [...followers.keys()].filter(
      (follower) => !leader.isRunnable || leader.numComputedTokens >= followers.get(follower)!,
    );
    for (const follower of released) this.remove(follower);
    return released;
  }
}

/** Length of the common prefix in whole blocks, in tokens, never the whole of `follower` (see KvCacheManager). */
export function numCommonTokens(leader: Sequence, follower: Sequence, blockSize: number): number {
  if (leader.cacheSalt !== follower.cacheSalt) return 0;
  const maxTokens = Math.min(leader.tokens.length, follower.tokens.length - 1);
  let numTokens = 0;
  while (numTokens < maxTokens && leader.tokens[numTokens] === follower.tokens[numTokens]) numTokens += 1;
  return numTokens - (numTokens % blockSize);
}
