import { stat } from "node:fs/promises";
import { resolve } from "node:path";

import { splitFiles } from "../gguf/split-files.ts";
import type { Environment } from "./cache-dirs.ts";
import { headwayCacheDir, isOfflineByEnvironment } from "./cache-dirs.ts";
import type { CatalogueEntry } from "./catalogue.ts";
import { DEMO_NAME, defaultCatalogueEntry } from "./catalogue.ts";
import { demoModelPath } from "./demo-model.ts";
import type { RemoteSpec } from "./model-spec.ts";
import { formatRemoteSpec, parseModelSpec, parseRemoteSpec } from "./model-spec.ts";
import type { ModelStoreErrorCode } from "./model-store-error.ts";
import { ModelStoreError } from "./model-store-error.ts";
import type { Pin } from "./pin.ts";
import { NO_PIN } from "./pin.ts";
import type { DownloadProgressSink } from "./progress.ts";
import type { ResolvedModel } from "./resolved-model.ts";
import { resolvedFromStore, resolvedModel } from "./resolved-model.ts";
import { servedNameOf } from "./served-name.ts";
import type { NetworkTiming, StoreOptions } from "./store-context.ts";
import { DEFAULT_TIMING } from "./store-context.ts";
import type { StoredModel } from "./store-entry.ts";

export interface ResolveOptions {
  readonly progress: DownloadProgressSink;
  readonly signal: AbortSignal;
  /** Default: HEADWAY_CACHE, XDG_CACHE_HOME/headway, ~/.cache/headway. */
  readonly cacheDir?: string;
  /** Use no network; also by HEADWAY_OFFLINE or HF_HUB_OFFLINE. */
  readonly offline?: boolean;
  readonly env?: Environment;
  readonly timing?: NetworkTiming;
}

interface Resolution extends StoreOptions {
  readonly offline: boolean;
}

const HOW_TO_PROVIDE = "a GGUF file can be given by its path with --model, a hub mirror with HF_ENDPOINT";

/**
 * Finds the model that `--model` names, fetching it if need be; null means the default, for which the
 * embedded demo model stands in when it cannot be had. Throws {@link ModelStoreError}, or the signal's reason.
 */
export async function resolveModel(spec: string | null, options: ResolveOptions): Promise<ResolvedModel> {
  const env = options.env ?? process.env;
  const resolution: Resolution = {
    cacheDir: resolve(options.cacheDir ?? headwayCacheDir(env)),
    env,
    progress: options.progress,
    signal: options.signal,
    timing: options.timing ?? DEFAULT_TIMING,
    offline: options.offline || isOfflineByEnvironment(env),
  };
  try {
    return await (spec === null ? resolveDefault(resolution) : resolveSpec(spec, resolution));
  } catch (error) {
    options.signal.throwIfAborted();
    throw error;
  }
}

async function resolveDefault(resolution: Resolution): Promise<ResolvedModel> {
  const entry = defaultCatalogueEntry();
  try {
    return await resolveCatalogueEntry(entry, resolution);
  } catch (error) {
    if (!(error instanceof ModelStoreError) || error.code === "aborted") throw error;
    const fallbackReason = `${error.message}; the demo model, a toy, stands in for it`;
    return { ...resolveDemo(), fallbackReason };
  }
}

async function resolveSpec(spec: string, resolution: Resolution): Promise<ResolvedModel> {
  const parsed = parseModelSpec(spec);
  if (parsed.kind === "file") return resolveFile(parsed.path);
  if (parsed.kind === "catalogue") return resolveCatalogueEntry(parsed.entry, resolution);
  return resolveRemote(parsed, resolution);
}

function resolveDemo(): ResolvedModel {
  return resolvedModel([demoModelPath()], {
    name: DEMO_NAME,
    source: "the demo model that comes with Headway",
  });
}

async function resolveFile(path: string): Promise<ResolvedModel> {
  const first = resolve(path);
  const files = splitFiles(first);
  for (const file of files) await requireFile(file);
  return resolvedModel(files, { name: servedNameOf(first), source: `the file ${first}` });
}

async function requireFile(path: string): Promise<void> {
  const stats = await stat(path).catch(() => null);
  if (stats?.isFile()) return;
  const reason = stats === null ? "there is no file" : "it is not a file:";
  throw new ModelStoreError("not-found", `the model cannot be loaded: ${reason} ${path}`);
}

async function resolveCatalogueEntry(entry: CatalogueEntry, resolution: Resolution): Promise<ResolvedModel> {
  if (entry.name === DEMO_NAME) return resolveDemo();
  const sources = entry.sources.map(parseRemoteSpec);
  const local = await findAnyLocal(sources, entry, resolution);
  if (local !== null) return { ...local, name: entry.name };
  if (resolution.offline) throw offlineError(entry.name, sources[0], resolution.cacheDir);
  const fetched = await fetchFromAny(sources, entry, resolution);
  return { ...fetched, name: entry.name };
}

async function findAnyLocal(
  sources: readonly RemoteSpec[],
  pin: Pin,
  resolution: Resolution,
): Promise<ResolvedModel | null> {
  for (const source of sources) {
    const local = await findOnDisk(source, pin.sha256, resolution);
    if (local !== null) return local;
  }
  return null;
}

/** Tries the sources in order; what stopped each of them ends up in one sentence. */
async function fetchFromAny(
  sources: readonly RemoteSpec[],
  entry: CatalogueEntry,
  resolution: Resolution,
): Promise<ResolvedModel> {
  const reasons: string[] = [];
  let code: ModelStoreErrorCode = "not-found";
  for (const source of sources) {
    try {
      return resolvedFromStore(await fetchToStore(source, entry, resolution));
    } catch (error) {
      if (!(error instanceof ModelStoreError) || ["aborted", "disk-full"].includes(error.code)) throw error;
      const reason = `${formatRemoteSpec(source)}: ${error.message}`;
      resolution.progress.notice(reason);
      reasons.push(reason);
      code = error.code;
    }
  }
  throw new ModelStoreError(
    code,
    `${entry.name} cannot be fetched: ${reasons.join("; then ")}; ${HOW_TO_PROVIDE}`,
  );
}

async function resolveRemote(spec: RemoteSpec, resolution: Resolution): Promise<ResolvedModel> {
  const local = await findOnDisk(spec, spec.kind === "url" ? spec.sha256 : null, resolution);
  if (local !== null) return local;
  if (resolution.offline) throw offlineError(formatRemoteSpec(spec), spec, resolution.cacheDir);
  try {
    return resolvedFromStore(await fetchToStore(spec, NO_PIN, resolution));
  } catch (error) {
    if (!(error instanceof ModelStoreError) || error.code !== "unreachable") throw error;
    const message = `${formatRemoteSpec(spec)} cannot be fetched: ${error.message}; ${HOW_TO_PROVIDE}`;
    throw new ModelStoreError(error.code, message, { cause: error });
  }
}

function offlineError(name: string, spec: RemoteSpec | undefined, cacheDir: string): ModelStoreError {
  const wanted = spec === undefined || formatRemoteSpec(spec) === name ? "" : ` (${formatRemoteSpec(spec)})`;
  return new ModelStoreError(
    "offline",
    `offline, and ${name}${wanted} is not in ${cacheDir}; run "headway models pull ${name}" where there is a ` +
      "network and copy that folder here, or give the path of a GGUF file with --model, or use --model demo",
  );
}

/** A start with a path or the demo model loads none of what searching and fetching need. */
async function findOnDisk(
  spec: RemoteSpec,
  sha256: string | null,
  resolution: Resolution,
): Promise<ResolvedModel | null> {
  const { findLocal } = await import("./find-local.ts");
  return findLocal(spec, sha256, resolution);
}

async function fetchToStore(spec: RemoteSpec, pin: Pin, resolution: Resolution): Promise<StoredModel> {
  const { fetchRemote } = await import("./fetch-remote.ts");
  return fetchRemote(spec, pin, resolution);
}
