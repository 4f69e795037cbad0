import { closeSync, constants, fstatSync, openSync, statSync } from "node:fs";

import { ByteReader } from "./byte-reader.ts";
import { GgufError, quote } from "./gguf-error.ts";
import type { Metadata } from "./metadata.ts";
import { ALIGNMENT_KEY, readMetadata } from "./metadata.ts";
import type { TensorInfo } from "./tensors.ts";
import { alignUp, readTensorInfos, requireSoundLayout, requireTensorCount } from "./tensors.ts";

export interface GgufHeader {
  readonly version: number;
  readonly metadata: Metadata;
  readonly tensors: readonly TensorInfo[];
}

const MAGIC = "GGUF";
const OLDEST_VERSION = 2;
const NEWEST_VERSION = 3;
const DEFAULT_ALIGNMENT = 32;

/**
 * Reads and checks everything of one GGUF file but the weights themselves (format: ggml/docs/gguf.md).
 * Meant for a process that may be killed: it reads synchronously. Throws {@link GgufError}.
 */
export function readGgufHeader(path: string): GgufHeader {
  const fd = openRegularFile(path);
  try {
    return parseHeader(new ByteReader(fd, fstatSync(fd).size));
  } finally {
    closeSync(fd);
  }
}

/** Looks before it opens, because opening a pipe would wait for its writer. */
function openRegularFile(path: string): number {
  try {
    const stats = statSync(path);
    if (!stats.isFile()) {
      throw new GgufError(
        "not-a-file",
        `it is ${stats.isDirectory() ? "a directory" : "a device or pipe"}, not a file`,
      );
    }
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw asOpenError(error);
  }
}

function asOpenError(error: unknown): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (error instanceof GgufError || typeof code !== "string") return error;
  if (code === "ENOENT" || code === "ENOTDIR") return new GgufError("not-found", "there is no such file");
  return new GgufError("unreadable", `it cannot be opened (${code})`, { cause: error });
}

function parseHeader(reader: ByteReader): GgufHeader {
  const version = readVersion(reader);
  const numTensors = reader.u64("the tensor count");
  const numKeys = reader.u64("the count of metadata keys");
  requireTensorCount(reader, numTensors);
  const metadata = readMetadata(reader, numKeys);
  const alignment = readAlignment(metadata);
  const tensors = readTensorInfos(reader, numTensors);
  const start = alignUp(reader.position, alignment);
  requireSoundLayout(tensors, { start, alignment, fileSizeBytes: reader.sizeBytes });
  return { version, metadata, tensors };
}

function readVersion(reader: ByteReader): number {
  if (reader.sizeBytes === 0) throw new GgufError("truncated", "the file is empty");
  const magic = reader.text(Math.min(MAGIC.length, reader.sizeBytes), "the magic number");
  if (magic !== MAGIC) throw new GgufError("bad-magic", `it starts with ${quote(magic)}, not with "GGUF"`);
  const version = reader.u32("the version");
  if (version >= OLDEST_VERSION && version <= NEWEST_VERSION) return version;
  if (version !== 0 && version % 65_536 === 0) {
    throw new GgufError("bad-version", "it is a big-endian GGUF file, which cannot be loaded here");
  }
  throw new GgufError("bad-version", `it is GGUF version ${version}; versions 2 and 3 can be loaded`);
}

function readAlignment(metadata: Metadata): number {
  const alignment = Number(metadata.get(ALIGNMENT_KEY) ?? DEFAULT_ALIGNMENT);
  if (isPowerOfTwo(alignment)) return alignment;
  throw new GgufError("bad-alignment", `${ALIGNMENT_KEY} must be a power of two, not ${alignment}`);
}

function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(Math.log2(value)) && value >= 1 && value <= 2 ** 31;
}
