import type { ListFileEntry } from "@huggingface/hub";

import type { Environment } from "./cache-dirs.ts";
import { readHubToken } from "./hub-token.ts";
import { asHttpError, asStatusError } from "./http-client.ts";
import type { HttpHeaders } from "./http-client.ts";
import { filesOfModel, selectModelFile } from "./hub-selection.ts";
import type { HubSpec } from "./model-spec.ts";
import { ModelStoreError } from "./model-store-error.ts";
import type { StoreContext } from "./store-context.ts";

/** A file that can be fetched. */
export interface RemoteFile {
  readonly url: string;
  readonly headers: HttpHeaders;
  /** Path in the repository or plain name. */
  readonly path: string;
  readonly sizeBytes: number | null;
  readonly sha256: string | null;
}

/** Asks the hub which files the spec means; split models have several. Throws {@link ModelStoreError}. */
export async function locateOnHub(spec: HubSpec, context: StoreContext): Promise<RemoteFile[]> {
  const endpoint = await hubEndpoint(context.env);
  const token = await readHubToken(context.env);
  const headers: HttpHeaders = token === null ? {} : { authorization: `Bearer ${token}` };
  const listed = await listRepository(spec, { endpoint, headers, context });
  const paths = [...listed.keys()];
  const first = selectModelFile(spec, paths);
  return filesOfModel(first, paths).map((path) => {
    const entry = listed.get(path);
    return {
      url: resolveUrl(endpoint, spec, path),
      headers,
      path,
      sizeBytes: entry?.lfs?.size ?? entry?.size ?? null,
      sha256: entry?.lfs?.oid ?? null,
    };
  });
}

/** MODEL_ENDPOINT, then HF_ENDPOINT, as in llama.cpp; then what the hub's own library names. */
async function hubEndpoint(env: Environment): Promise<string> {
  const chosen = env["MODEL_ENDPOINT"] || env["HF_ENDPOINT"];
  const endpoint = chosen || (await import("@huggingface/hub")).HUB_URL;
  if (URL.canParse(endpoint)) return endpoint.replace(/\/+$/, "");
  throw new ModelStoreError("bad-spec", "HF_ENDPOINT (or MODEL_ENDPOINT) is not a URL");
}

function resolveUrl(endpoint: string, spec: HubSpec, path: string): string {
  const file = path.split("/").map(encodeURIComponent).join("/");
  return `${endpoint}/${spec.repo}/resolve/${encodeURIComponent(spec.revision)}/${file}`;
}

interface ListingAccess {
  readonly endpoint: string;
  readonly headers: HttpHeaders;
  readonly context: StoreContext;
}

/** The GGUF files of a repository by path. */
async function listRepository(spec: HubSpec, access: ListingAccess): Promise<Map<string, ListFileEntry>> {
  const { endpoint, headers, context } = access;
  const { listFiles } = await import("@huggingface/hub");
  const authorizedFetch: typeof fetch = (input, init) =>
    context.http.fetch(input, {
      ...init,
      headers: { ...headersOf(init), ...headers },
      signal: context.signal,
    });
  const files = new Map<string, ListFileEntry>();
  const query = {
    repo: spec.repo,
    revision: spec.revision,
    recursive: true,
    hubUrl: endpoint,
    fetch: authorizedFetch,
  };
  try {
    for await (const entry of listFiles(query)) {
      if (entry.type === "file" && entry.path.endsWith(".gguf")) files.set(entry.path, entry);
    }
  } catch (error) {
    throw asListingError(error, spec, endpoint);
  }
  return files;
}

function headersOf(init: RequestInit | undefined): Record<string, string> {
  return Object.fromEntries(new Headers(init?.headers).entries());
}

function asListingError(error: unknown, spec: HubSpec, endpoint: string): unknown {
  if (error instanceof Error && "statusCode" in error) {
    const where = `${endpoint}/${spec.repo}`;
    // The hub answers 401 for repositories that do not exist, so as not to tell which private ones do.
    return asStatusError(Number(error.statusCode), where);
  }
  const httpError = asHttpError(error, endpoint);
  if (httpError instanceof ModelStoreError) return httpError;
  return new ModelStoreError("bad-listing", `the file list of ${spec.repo} could not be read`, {
    cause: error,
  });
}
