import { createHash } from "node:crypto";
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { basename, join, resolve, sep } from "node:path";

import type { RemoteSpec } from "./model-spec.ts";
import { formatRemoteSpec } from "./model-spec.ts";
import { ModelStoreError } from "./model-store-error.ts";

/** A model in our cache: one folder with its files and this description of them. */
export interface StoreEntry {
  /** Served name. */
  readonly name: string;
  /** What it was fetched by, in the form that `--model` takes, with the file named. */
  readonly spec: string;
  readonly fetchedAt: string;
  readonly files: readonly StoreEntryFile[];
}

export interface StoreEntryFile {
  readonly name: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** An entry that was found on disk, whole. */
export interface StoredModel extends StoreEntry {
  readonly dir: string;
}

const ENTRY_FILE = "headway-model.json";
const MAX_SLUG_LENGTH = 96;

function modelsDir(cacheDir: string): string {
  return join(cacheDir, "models");
}

/**
 * Folder of the model that `key` stands for. The readable part of its name comes from `spec`, which holds no
 * secrets; the hash keeps apart what the readable part makes equal. Neither can lead out of the cache.
 */
function entryDir(cacheDir: string, spec: string, key: string = spec): string {
  const readable = spec.replaceAll(/[^A-Za-z0-9._]+/g, "-").replaceAll(/\.{2,}|^[-.]+/g, "");
  const hash = createHash("sha256").update(key).digest("hex").slice(0, 12);
  return join(modelsDir(cacheDir), `${readable.slice(0, MAX_SLUG_LENGTH)}-${hash}`);
}

/** Where the files of a spec are, or would be, if it names one file. */
export function entryDirOf(cacheDir: string, spec: RemoteSpec): string {
  // The query may choose the file, so it belongs to the key, though it is never shown.
  return entryDir(cacheDir, formatRemoteSpec(spec), spec.kind === "url" ? spec.url : formatRemoteSpec(spec));
}

/** The last part of a path or URL as a plain file name. */
export function safeFileName(path: string): string {
  const name = basename(path).replaceAll(/[^\w.+ -]+/g, "_");
  if (/^\.*$/.test(name)) throw new ModelStoreError("bad-spec", `${JSON.stringify(path)} names no file`);
  return name;
}

export async function writeEntry(dir: string, entry: StoreEntry): Promise<void> {
  await writeFile(join(dir, ENTRY_FILE), `${JSON.stringify(entry, null, 2)}\n`);
}

/** Null where the folder holds no whole model. */
export async function readEntry(dir: string): Promise<StoredModel | null> {
  const text = await readFile(join(dir, ENTRY_FILE), "utf8").catch(() => null);
  const entry = text === null ? null : parseEntry(text);
  if (entry === null) return null;
  const sizes = await Promise.all(entry.files.map((file) => sizeOf(join(dir, file.name))));
  return entry.files.every((file, index) => file.sizeBytes === sizes[index]) ? { ...entry, dir } : null;
}

/** Pins are for models of one file. */
export function hasChecksum(entry: StoreEntry, sha256: string | null): boolean {
  return sha256 === null || entry.files[0]?.sha256 === sha256;
}

async function sizeOf(path: string): Promise<number | null> {
  return stat(path).then(
    (stats) => stats.size,
    () => null,
  );
}

function parseEntry(text: string): StoreEntry | null {
  try {
    const value: unknown = JSON.parse(text);
    return isEntry(value) ? value : null;
  } catch {
    return null;
  }
}

function isEntry(value: unknown): value is StoreEntry {
  if (typeof value !== "object" || value === null) return false;
  const { name, spec, fetchedAt, files } = value as Partial<Record<keyof StoreEntry, unknown>>;
  const texts = [name, spec, fetchedAt];
  return (
    texts.every((text) => typeof text === "string") &&
    Array.isArray(files) &&
    files.length > 0 &&
    files.every(isEntryFile)
  );
}

/** A name with a folder in it would lead out of the entry. */
function isEntryFile(value: unknown): value is StoreEntryFile {
  if (typeof value !== "object" || value === null) return false;
  const { name, sizeBytes, sha256 } = value as Partial<Record<keyof StoreEntryFile, unknown>>;
  return (
    typeof name === "string" &&
    safeFileName(name) === name &&
    typeof sizeBytes === "number" &&
    typeof sha256 === "string"
  );
}

export async function listEntries(cacheDir: string): Promise<StoredModel[]> {
  const names = await readdir(modelsDir(cacheDir)).catch(() => []);
  const entries = await Promise.all(names.map((name) => readEntry(join(modelsDir(cacheDir), name))));
  return entries.filter((entry) => entry !== null).sort((a, b) => a.dir.localeCompare(b.dir));
}

/** Deletes a folder of the cache and nothing else. */
export async function removeEntryDir(cacheDir: string, dir: string): Promise<void> {
  const inside = resolve(modelsDir(cacheDir)) + sep;
  if (!resolve(dir).startsWith(inside)) {
    throw new ModelStoreError(
      "bad-spec",
      `${dir} is not in the model cache ${cacheDir}, so it is not removed`,
    );
  }
  await rm(dir, { recursive: true, force: true });
}
