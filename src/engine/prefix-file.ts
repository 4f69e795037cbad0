import { createHash, randomUUID } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync, renameSync, statSync, writeFileSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { PinTimes } from "./pin-times.ts";

/** Some consecutive KV blocks of a prefix: all that says what they are. */
export interface PrefixHeader {
  /** What the bytes depend on: model, library, cache types. */
  readonly identity: string;
  readonly cacheSalt: string;
  /** All tokens up to the end of the blocks. */
  readonly tokens: readonly number[];
  readonly startBlock: number;
  readonly pins: PinTimes;
}

export interface PrefixFile extends PrefixHeader {
  readonly bytes: Uint8Array;
}

/** A file as far as it is known without reading all of it. */
export interface PrefixFileFacts {
  readonly header: PrefixHeader;
  readonly headerBytes: number;
  readonly payloadBytes: number;
  readonly sizeBytes: number;
  readonly modifiedAtMs: number;
}

const DIGEST_BYTES = 32;
const NEWLINE = 10;
const HEADER_CHUNK_BYTES = 1 << 16;

/** Steps wait while bytes are hashed, so it is done in small pieces, and steps have their turn after so long. */
const PIECE_BYTES = 1 << 18;
const MAX_TURN_MS = 2;

/** What such a file takes. */
export function sizeOfPrefixFile(header: PrefixHeader, payloadBytes: number): number {
  return encodeHeader(header).length + payloadBytes + DIGEST_BYTES;
}

/** A line of JSON, the bytes, and the SHA-256 of both: a file that was cut off or changed is not mistaken for a whole one. */
export function encodePrefixFile({ bytes, ...header }: PrefixFile): Buffer {
  const content = Buffer.concat([encodeHeader(header), bytes]);
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
  const header = parseHeader(content.subarray(0, end));
  return header?.identity === identity ? { ...header, bytes: content.subarray(end + 1) } : null;
}

/** Appears under its name whole or not at all. The bytes must stay as they are until then. Returns its size. */
export async function writePrefixFile(
  file: string,
  { bytes, ...header }: PrefixFile,
): Promise<PrefixFileFacts> {
  const head = encodeHeader(header);
  const digest = await digestOf([head, bytes]);
  const temporary = temporaryName(file);
  let modifiedAtMs: number;
  try {
    const handle = await open(temporary, "w", 0o600);
    try {
      const { bytesWritten } = await handle.writev([head, bytes, digest]);
      if (bytesWritten !== head.length + bytes.length + DIGEST_BYTES) throw new Error("the disk took a part");
      modifiedAtMs = (await handle.stat()).mtimeMs;
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  return factsOf(header, { headerBytes: head.length, payloadBytes: bytes.length, modifiedAtMs });
}

/** The same at once, before the process ends. */
export function writePrefixFileNow(file: string, prefix: PrefixFile): PrefixFileFacts {
  const data = encodePrefixFile(prefix);
  const temporary = temporaryName(file);
  writeFileSync(temporary, data, { mode: 0o600 });
  const modifiedAtMs = statSync(temporary).mtimeMs;
  renameSync(temporary, file);
  const { bytes, ...header } = prefix;
  const headerBytes = data.length - bytes.length - DIGEST_BYTES;
  return factsOf(header, { headerBytes, payloadBytes: bytes.length, modifiedAtMs });
}

/** What a file says it is, which only the digest of all of it can prove; null when it says nothing of the kind. */
export function readPrefixFacts(file: string): PrefixFileFacts | null {
  const descriptor = openSync(file, "r");
  try {
    const { size, mtimeMs } = fstatSync(descriptor);
    const line = readLine(descriptor);
    const header = line === null ? null : parseHeader(line);
    if (header === null || size < line!.length + 1 + DIGEST_BYTES) return null;
    const headerBytes = line!.length + 1;
    const payloadBytes = size - headerBytes - DIGEST_BYTES;
    return { header, headerBytes, payloadBytes, sizeBytes: size, modifiedAtMs: mtimeMs };
  } finally {
    closeSync(descriptor);
  }
}

/** What stands around the payload of a file. */
export interface PrefixFrame {
  readonly head: Uint8Array;
  readonly digest: Uint8Array;
}

/** Reads the payload of a file into `bytes`, of exactly its size; null when the file has another size. */
export async function readPayload(
  file: string,
  { headerBytes }: PrefixFileFacts,
  bytes: Uint8Array,
): Promise<PrefixFrame | null> {
  const head = Buffer.alloc(headerBytes);
  const digest = Buffer.alloc(DIGEST_BYTES);
  const handle = await open(file, "r");
  try {
    const { size } = await handle.stat();
    const { bytesRead } = await handle.readv([head, bytes, digest], 0);
    return bytesRead === size && size === headerBytes + bytes.length + DIGEST_BYTES ? { head, digest } : null;
  } finally {
    await handle.close();
  }
}

/** What was read is a whole file with that header. */
export async function isIntact(
  header: PrefixHeader,
  bytes: Uint8Array,
  { head, digest }: PrefixFrame,
): Promise<boolean> {
  return encodeHeader(header).equals(head) && (await digestOf([head, bytes])).equals(digest);
}

/** SHA-256 of all parts, without holding up the event loop. */
async function digestOf(parts: readonly Uint8Array[]): Promise<Buffer> {
  const hash = createHash("sha256");
  let startMs = performance.now();
  for (const part of parts) {
    for (let start = 0; start < part.length; start += PIECE_BYTES) {
      hash.update(part.subarray(start, start + PIECE_BYTES));
      if (performance.now() - startMs < MAX_TURN_MS) continue;
      await nextTurn();
      startMs = performance.now();
    }
  }
  return hash.digest();
}

function encodeHeader({ identity, cacheSalt, tokens, startBlock, pins }: PrefixHeader): Buffer {
  return Buffer.from(`${JSON.stringify({ identity, cacheSalt, tokens, startBlock, pins })}\n`);
}

function parseHeader(line: Uint8Array): PrefixHeader | null {
  try {
    const header = JSON.parse(Buffer.from(line).toString()) as PrefixHeader;
    const { tokens, startBlock, pins } = header;
    const isWhole = Array.isArray(tokens) && Number.isInteger(startBlock) && typeof pins === "object";
    return isWhole && Object.values(pins).every(Number.isFinite) ? header : null;
  } catch {
    return null;
  }
}

/** Without its newline; null when there is none. */
function readLine(descriptor: number): Buffer | null {
  const chunks: Buffer[] = [];
  for (;;) {
    const chunk = Buffer.alloc(HEADER_CHUNK_BYTES);
    const numBytes = readSync(descriptor, chunk);
    const end = chunk.subarray(0, numBytes).indexOf(NEWLINE);
    chunks.push(chunk.subarray(0, end === -1 ? numBytes : end));
    if (end !== -1) return Buffer.concat(chunks);
    // No header is longer than the tokens of a very long prompt take; the payload may have no newline at all.
    if (numBytes < chunk.length || chunks.length > 256) return null;
  }
}

function factsOf(
  header: PrefixHeader,
  sizes: Pick<PrefixFileFacts, "headerBytes" | "payloadBytes" | "modifiedAtMs">,
): PrefixFileFacts {
  return { header, ...sizes, sizeBytes: sizes.headerBytes + sizes.payloadBytes + DIGEST_BYTES };
}

/** Of one write alone: another server may write the same file. */
function temporaryName(file: string): string {
  return `${file}.${randomUUID()}.tmp`;
}
