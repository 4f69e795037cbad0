import { statSync } from "node:fs";
import { dirname } from "node:path";

import { readGgufFacts } from "../../models/gguf/read-facts.ts";
import type { Environment } from "../../models/store/cache-dirs.ts";
import { headwayCacheDir } from "../../models/store/cache-dirs.ts";
import type { CatalogueEntry } from "../../models/store/catalogue.ts";
import { CATALOGUE } from "../../models/store/catalogue.ts";
import { ModelStoreError } from "../../models/store/model-store-error.ts";
import type { DownloadProgressSink } from "../../models/store/progress.ts";
import { SILENT_PROGRESS } from "../../models/store/progress.ts";
import { removeFromStore } from "../../models/store/remove.ts";
import { resolveModel } from "../../models/store/resolve.ts";
import { listEntries } from "../../models/store/store-entry.ts";
import { factsReport } from "./models-facts.ts";
import { catalogueTable, fetchedTable } from "./models-table.ts";

export interface ModelsOptions {
  /** Takes one line, without its end. */
  readonly print: (line: string) => void;
  readonly progress: DownloadProgressSink;
  readonly signal: AbortSignal;
  readonly env: Environment;
  /** Machine-readable output, where the command has any. */
  readonly json: boolean;
}

/** A catalogue entry and where it lies on this machine; null where it does not. */
export interface ListedModel extends CatalogueEntry {
  readonly path: string | null;
}

/** `headway models list`: the catalogue, then what else is in the cache. */
export async function listModels(options: ModelsOptions): Promise<void> {
  const { env, print } = options;
  const cacheDir = headwayCacheDir(env);
  const catalogue = await Promise.all(CATALOGUE.map((entry) => locate(entry, options)));
  const listedDirs = new Set(catalogue.map(({ path }) => path && dirname(path)));
  const fetched = (await listEntries(cacheDir)).filter((entry) => !listedDirs.has(entry.dir));
  if (options.json) {
    print(JSON.stringify({ cacheDir, catalogue, fetched }, null, 2));
    return;
  }
  print(catalogueTable(catalogue));
  if (fetched.length > 0) print(`\nAlso fetched:\n${fetchedTable(fetched)}`);
  print(`\nDownloads are kept in ${cacheDir}.`);
}

async function locate(entry: CatalogueEntry, options: ModelsOptions): Promise<ListedModel> {
  const { env, signal } = options;
  const resolving = resolveModel(entry.name, { env, signal, offline: true, progress: SILENT_PROGRESS });
  const model = await resolving.catch(() => null);
  const path = model?.path ?? null;
  return { ...entry, path, sizeBytes: entry.sizeBytes ?? (path === null ? null : statSync(path).size) };
}

/** `headway models pull MODEL`: fetches what `--model` would, so that a later start needs no network. */
export async function pullModel(spec: string, options: ModelsOptions): Promise<void> {
  const { env, signal, progress } = options;
  const model = await resolveModel(spec, { env, signal, progress });
  const facts = await readGgufFacts(model.path, { signal });
  options.print(`${model.name} is ready (${facts.architecture}, ${facts.quantization}): ${model.path}`);
}

/** `headway models rm MODEL`: deletes it from the cache, and nothing outside the cache. */
export async function removeModel(nameOrSpec: string, options: ModelsOptions): Promise<void> {
  for (const dir of await removeFromStore(nameOrSpec, { env: options.env })) options.print(`removed ${dir}`);
}

/** `headway models show MODEL`: what a model on this machine is and needs; downloads nothing. */
export async function showModel(spec: string, options: ModelsOptions): Promise<void> {
  const { env, signal, progress } = options;
  const model = await resolveModel(spec, { env, signal, progress, offline: true }).catch((error: unknown) => {
    throw isOffline(error) ? notHereError(spec) : error;
  });
  const facts = await readGgufFacts(model.path, { signal });
  options.print(options.json ? JSON.stringify({ model, facts }, null, 2) : factsReport(model, facts));
}

function isOffline(error: unknown): boolean {
  return error instanceof ModelStoreError && error.code === "offline";
}

/** The network was not asked, so its absence is not the reason. */
function notHereError(spec: string): ModelStoreError {
  return new ModelStoreError(
    "not-found",
    `${JSON.stringify(spec)} is not on this machine; "headway models pull ${spec}" fetches it`,
  );
}
