import { readdir, readFile, realpath } from "node:fs/promises";
import { basename, join, relative, sep } from "node:path";

import type { Environment } from "./cache-dirs.ts";
import { hubCacheDirs } from "./cache-dirs.ts";
import { filesOfModel, selectModelFile } from "./hub-selection.ts";
import type { HubSpec } from "./model-spec.ts";

/** Files of a model in a cache that other programs share; absolute paths, first part first. */
export interface HubCacheHit {
  readonly cacheDir: string;
  readonly files: readonly string[];
}

/**
 * Looks for a model in the caches of llama.cpp and huggingface_hub
 * (models--owner--repo/snapshots/<commit>/<file>, links to blobs). Null where it is not there whole.
 */
export async function findInHubCaches(
  spec: HubSpec,
  sha256: string | null,
  env: Environment,
): Promise<HubCacheHit | null> {
  const repoFolder = `models--${spec.repo.replaceAll("/", "--")}`;
  for (const cacheDir of hubCacheDirs(env)) {
    const files = await findInRepo(join(cacheDir, repoFolder), spec);
    if (files !== null && (await hasChecksum(files, sha256))) return { cacheDir, files };
  }
  return null;
}

async function findInRepo(repoDir: string, spec: HubSpec): Promise<string[] | null> {
  const snapshots = join(repoDir, "snapshots");
  for (const commit of await candidateCommits(repoDir, spec.revision)) {
    const snapshot = join(snapshots, commit);
    const paths = await listGgufFiles(snapshot);
    try {
      return filesOfModel(selectModelFile(spec, paths), paths).map((path) => join(snapshot, path));
    } catch {
      // Not in this snapshot; another one may have it.
    }
  }
  return null;
}

/** The commit that the revision stands for, and for the moving "main" any other one too. */
async function candidateCommits(repoDir: string, revision: string): Promise<string[]> {
  const named = await readFile(join(repoDir, "refs", revision), "utf8").catch(() => revision);
  const all = await readdir(join(repoDir, "snapshots")).catch(() => []);
  const exact = all.filter((commit) => commit === named.trim());
  return revision === "main" ? [...new Set([...exact, ...all])] : exact;
}

/** Paths relative to the snapshot; links without their blob are left out. */
async function listGgufFiles(snapshot: string): Promise<string[]> {
  const entries = await readdir(snapshot, { recursive: true, withFileTypes: true }).catch(() => []);
  const paths = entries
    .filter((entry) => entry.name.endsWith(".gguf") && !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
  const targets = await Promise.all(paths.map((path) => realpath(path).catch(() => null)));
  return paths
    .filter((_, index) => targets[index] !== null)
    .map((path) => relative(snapshot, path).split(sep).join("/"));
}

/** Blobs of large files are named by their SHA-256, so a pin can be checked without reading them. */
async function hasChecksum(files: readonly string[], sha256: string | null): Promise<boolean> {
  const [first] = files;
  if (sha256 === null || first === undefined) return true;
  return basename(await realpath(first)) === sha256;
}
