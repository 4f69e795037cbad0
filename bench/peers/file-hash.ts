import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";

const CHUNK_BYTES = 2 ** 20;
const known = new Map<string, string>();

/** The SHA-256 of a file in hexadecimal, read in pieces and once. */
export function fileHash(path: string): string {
  const before = known.get(path);
  if (before !== undefined) return before;
  const hash = createHash("sha256");
  const chunk = Buffer.alloc(CHUNK_BYTES);
  const file = openSync(path, "r");
  for (let count = readSync(file, chunk); count > 0; count = readSync(file, chunk))
    hash.update(chunk.subarray(0, count));
  closeSync(file);
  const digest = hash.digest("hex");
  known.set(path, digest);
  return digest;
}
