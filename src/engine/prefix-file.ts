import { createHash } from "node:crypto";

/** Some consecutive KV blocks of a prefix, with all that says what they are. */
export interface PrefixFile {
  /** What the bytes depend on: model, library, cache types. */
  readonly identity: string;
  readonly cacheSalt: string;
  /** All tokens up to the end of the blocks. */
  readonly tokens: readonly number[];
  readonly startBlock: number;
  /** Unix milliseconds. */
  readonly expiresAtMs: number;
  readonly bytes: Uint8Array;
}

const DIGEST_BYTES = 32;
const NEWLINE = 10;

/** A line of JSON, the bytes, and the SHA-256 of both: a file that was cut off or changed is not mistaken for a whole one. */
export function encodePrefixFile({ bytes, ...header }: PrefixFile): Buffer {
  const content = Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), bytes]);
  return Buffer.concat([content, createHash("sha256").update(content).digest()]);
}

/** Null for anything that is not a whole file of this identity. */
export function decodePrefixFile(data: Uint8Array, identity: string): PrefixFile | null {
  if (data.length < DIGEST_BYTES) return null;
  const content = data.subarray(0, data.length - DIGEST_BYTES);
  const digest = createHash("sha256").update(content).digest();
  if (!digest.equals(data.subarray(content.length))) return null;
  const end = content.indexOf(NEWLINE);
  // Its digest says that this program wrote it.
  const header = JSON.parse(Buffer.from(content.subarray(0, end)).toString()) as Omit<PrefixFile, "bytes">;
  return header.identity === identity ? { ...header, bytes: content.subarray(end + 1) } : null;
}
