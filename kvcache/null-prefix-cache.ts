import type { PrefixCache, PrefixNode } from "./prefix-cache.ts";

/** For models whose memory cannot share: nothing is ever found. */
export class NullPrefixCache implements PrefixCache {
  match(): PrefixNode[] {
    return [];
  }

  extend(): null {
    return null;
  }

  remove(): void {
    // Nothing was recorded.
  }

  nodes(): PrefixNode[] {
    return [];
  }
}
