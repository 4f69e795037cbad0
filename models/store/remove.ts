import { existsSync } from "node:fs";
import { resolve } from "node:path";

import type { Environment } from "./cache-dirs.ts";
import { headwayCacheDir } from "./cache-dirs.ts";
import { findStored } from "./find-local.ts";
import type { ModelSpec, RemoteSpec } from "./model-spec.ts";
import { parseModelSpec, parseRemoteSpec } from "./model-spec.ts";
import { ModelStoreError } from "./model-store-error.ts";
import { entryDirOf, listEntries, removeEntryDir } from "./store-entry.ts";
import { tryLock } from "./store-lock.ts";

export interface RemoveOptions {
  readonly cacheDir?: string;
  readonly env?: Environment;
}

/**
 * Deletes from our cache what a name or spec stands for, unfinished downloads included; returns the folders.
 * Files that were given by path or that other programs keep are never touched. Throws {@link ModelStoreError}.
 */
export async function removeFromStore(nameOrSpec: string, options: RemoveOptions = {}): Promise<string[]> {
  const cacheDir = resolve(options.cacheDir ?? headwayCacheDir(options.env ?? process.env));
  const dirs = await findDirs(nameOrSpec, cacheDir);
  if (dirs.length === 0) {
    throw new ModelStoreError(
      "not-found",
      `${JSON.stringify(nameOrSpec)} is not in the model cache ${cacheDir}`,
    );
  }
  for (const dir of dirs) await removeLocked(cacheDir, dir);
  return dirs;
}

async function findDirs(nameOrSpec: string, cacheDir: string): Promise<string[]> {
  const wanted = nameOrSpec.toLowerCase();
  const entries = await listEntries(cacheDir);
  const named = entries.filter((entry) =>
    [entry.name, entry.spec].some((text) => text.toLowerCase() === wanted),
  );
  const bySpec = await Promise.all(specsOf(nameOrSpec).map((spec) => findDir(spec, cacheDir)));
  return [...new Set([...named.map((entry) => entry.dir), ...bySpec])].filter((dir) => existsSync(dir));
}

async function findDir(spec: RemoteSpec, cacheDir: string): Promise<string> {
  const stored = await findStored(spec, cacheDir);
  return stored?.dir ?? entryDirOf(cacheDir, spec);
}

function specsOf(nameOrSpec: string): RemoteSpec[] {
  const spec = parseOrNull(nameOrSpec);
  if (spec === null || spec.kind === "file") return [];
  return spec.kind === "catalogue" ? spec.entry.sources.map(parseRemoteSpec) : [spec];
}

/** A served name is no spec, and none the worse for it. */
function parseOrNull(nameOrSpec: string): ModelSpec | null {
  try {
    return parseModelSpec(nameOrSpec);
  } catch {
    return null;
  }
}

async function removeLocked(cacheDir: string, dir: string): Promise<void> {
  const release = await tryLock(dir);
  if (release === null) throw new ModelStoreError("busy", `${dir} is being downloaded by another process`);
  try {
    await removeEntryDir(cacheDir, dir);
  } finally {
    await release();
  }
}
