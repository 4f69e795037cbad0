import { findInHubCaches } from "./hub-cache.ts";
import { selectModelFile } from "./hub-selection.ts";
import type { HubSpec, RemoteSpec } from "./model-spec.ts";
import { parseRemoteSpec } from "./model-spec.ts";
import type { ResolvedModel } from "./resolved-model.ts";
import { resolvedFromStore, resolvedModel } from "./resolved-model.ts";
import { servedNameOf } from "./served-name.ts";
import type { StoreOptions } from "./store-context.ts";
import type { StoredModel } from "./store-entry.ts";
import { entryDirOf, hasChecksum, listEntries, readEntry } from "./store-entry.ts";

/** Looks for a remote model in our cache, then in those that hub programs share; uses no network. */
export async function findLocal(
  spec: RemoteSpec,
  sha256: string | null,
  context: Pick<StoreOptions, "cacheDir" | "env">,
): Promise<ResolvedModel | null> {
  const stored = await findStored(spec, context.cacheDir);
  if (stored !== null && hasChecksum(stored, sha256)) return resolvedFromStore(stored);
  if (spec.kind !== "hub") return null;
  const hit = await findInHubCaches(spec, sha256, context.env);
  if (hit === null) return null;
  const name = servedNameOf(hit.files[0] ?? spec.repo);
  return resolvedModel(hit.files, { name, source: `hf:${spec.repo}, found in ${hit.cacheDir}` });
}

export async function findStored(spec: RemoteSpec, cacheDir: string): Promise<StoredModel | null> {
  if (spec.kind === "hub") return findStoredHubModel(spec, cacheDir);
  return readEntry(entryDirOf(cacheDir, spec));
}

/** A hub spec may leave the file open, so all stored files of its repository are candidates. */
async function findStoredHubModel(spec: HubSpec, cacheDir: string): Promise<StoredModel | null> {
  const byPath = new Map<string, StoredModel>();
  for (const entry of await listEntries(cacheDir)) {
    if (!entry.spec.startsWith("hf:")) continue;
    const stored = parseRemoteSpec(entry.spec);
    const isSameRepo =
      stored.kind === "hub" && stored.repo === spec.repo && stored.revision === spec.revision;
    if (isSameRepo && stored.selector !== null) byPath.set(stored.selector, entry);
  }
  if (byPath.size === 0) return null;
  try {
    return byPath.get(selectModelFile(spec, [...byPath.keys()])) ?? null;
  } catch {
    return null;
  }
}
