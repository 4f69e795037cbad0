import { createHash } from "node:crypto";
import type { Caller } from "./completion-call.ts";

/** Longer names are kept as their hash: they stay in memory for as long as a tenant's share is remembered. */
const MAX_NAME_LENGTH = 256;

/** Whose share of the machine a request takes: the key's, else of whom it is made for, by a header or OpenAI's `user`. */
export function shareHolder(
  { tenantId, fairnessId }: Pick<Caller, "tenantId" | "fairnessId">,
  user = "",
): string {
  const name = tenantId || (fairnessId ?? user);
  return name.length <= MAX_NAME_LENGTH ? name : createHash("sha256").update(name).digest("base64url");
}
