/** What may share cached prefixes. Length-prefixed, so that no caller can spell another's salt. */
export function cacheSaltOf(tenantId: string, salt: string): string {
  return `${tenantId.length}:${tenantId}${salt}`;
}
