import { createHash } from "node:crypto";

/**
 * What may share cached prefixes. Length-prefixed, so that no caller can spell another's salt, and as a digest, for it is
 * written to disk with the prefixes, and who reads it there must not learn what to ask with.
 */
export function cacheSaltOf(tenantId: string, salt: string): string {
  return createHash("sha256").update(`${tenantId.length}:${tenantId}${salt}`).digest("base64url");
}
