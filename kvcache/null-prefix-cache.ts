import type { PrefixCache, PrefixNode } from "./prefix-cache.ts";

/** For models whose memory cannot share: nothing is ever found. */
export class NullPrefixCache implements PrefixCache {
  match(): null {
    return null;
  }

  extend(): null {
    return null;
  }

  adopt(): PrefixNode[] {
    return [];
  }

  leave(): void {
    // Nothing was recorded.
  }

  nodes(): PrefixNode[] {
    return [];
  }
}
