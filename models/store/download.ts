import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { requireDiskSpace } from "./disk-space.ts";
import type { HttpHeaders, HttpResponse } from "./http-client.ts";
import { asHttpError, asStatusError } from "./http-client.ts";
import { asStoreError, ModelStoreError } from "./model-store-error.ts";
import { hashOf, numBytesPresent, PartialFile } from "./partial-file.ts";
import { ProgressMeter } from "./progress.ts";
import type { StoreContext } from "./store-context.ts";

export interface DownloadRequest {
  readonly url: string;
  readonly headers: HttpHeaders;
  /** Where the file shall be; its folder exists. */
  readonly target: string;
  /** Name for progress and errors. */
  readonly label: string;
  /** What is known beforehand; null where nothing is. */
  readonly sizeBytes: number | null;
  readonly sha256: string | null;
}

export interface StoredFile {
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** Attempts in a row that may bring nothing beyond what was there once before. */
const MAX_FRUITLESS_ATTEMPTS = 4;
/** After these the bytes so far are good and the next run goes on with them. */
const RESUMABLE_CODES = new Set(["interrupted", "unreachable", "aborted", "http-status", "not-authorized"]);

/**
 * Fetches one file: goes on where an interrupted download stopped (Range with If-Range, RFC 9110 §13.1.5),
 * checks size and SHA-256, and lets the file appear under its name only when it is whole.
 * Throws {@link ModelStoreError}.
 */
export async function downloadFile(request: DownloadRequest, context: StoreContext): Promise<StoredFile> {
  const present = await findWhole(request, context.signal);
  if (present !== null) return present;
  const partial = new PartialFile(request.target);
  try {
    await partial.load(context.signal);
    await receiveAll(request, partial, context);
    const stored = { sizeBytes: partial.sizeBytes, sha256: partial.digest() };
    requireChecksum(request, stored.sha256);
    await requireGguf(request.label, partial);
    await partial.commit();
    return stored;
  } catch (error) {
    const storeError = asStoreError(error, partial.path);
    const isResumable = storeError instanceof ModelStoreError && RESUMABLE_CODES.has(storeError.code);
    await (isResumable ? partial.close() : partial.discard());
    throw storeError;
  }
}

/** A part of a split model that an interrupted run had finished; without a checksum nobody knows which file it is. */
async function findWhole(
  { target, sizeBytes, sha256 }: DownloadRequest,
  signal: AbortSignal,
): Promise<StoredFile | null> {
  if (sha256 === null || sizeBytes === null || (await numBytesPresent(target)) !== sizeBytes) return null;
  return (await hashOf(target, signal)) === sha256 ? { sizeBytes, sha256 } : null;
}

async function receiveAll(
  request: DownloadRequest,
  partial: PartialFile,
  context: StoreContext,
): Promise<void> {
  let fruitless = 0;
  let mostBytes = partial.sizeBytes;
  while (partial.sizeBytes === 0 || partial.sizeBytes !== request.sizeBytes) {
    try {
      await receiveOnce(request, partial, context);
      return;
    } catch (error) {
      const httpError = asHttpError(error, request.url);
      fruitless = partial.sizeBytes > mostBytes ? 0 : fruitless + 1;
      mostBytes = Math.max(mostBytes, partial.sizeBytes);
      const isBroken = httpError instanceof ModelStoreError && httpError.code === "interrupted";
      if (!isBroken || fruitless >= MAX_FRUITLESS_ATTEMPTS) throw httpError;
    }
    await sleep(context.timing.retryDelayMs * 2 ** fruitless, undefined, { signal: context.signal });
  }
}

async function receiveOnce(
  request: DownloadRequest,
  partial: PartialFile,
  context: StoreContext,
): Promise<void> {
  const headers = { ...request.headers, "accept-encoding": "identity", ...rangeHeaders(request, partial) };
  const response = await context.http.get({ url: request.url, headers, signal: context.signal });
  try {
    const totalBytes = await acceptResponse(request, partial, response);
    await requireDiskSpace(dirname(partial.path), (totalBytes ?? 0) - partial.sizeBytes);
    const start = { file: request.label, receivedBytes: partial.sizeBytes, totalBytes };
    const meter = new ProgressMeter(context.progress, start);
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      requireAtMost(request.label, partial.sizeBytes + chunk.length, totalBytes);
      await partial.append(chunk);
      meter.add(chunk.length);
    }
    if (totalBytes !== null && partial.sizeBytes < totalBytes)
      throw interrupted(request, "the answer ended early");
    meter.complete();
  } finally {
    // An answer that is dropped half-way reports that as an error, to nobody.
    response.body.on("error", () => undefined).destroy();
  }
}

function rangeHeaders(request: DownloadRequest, partial: PartialFile): HttpHeaders {
  if (partial.sizeBytes === 0) return {};
  const range = { range: `bytes=${partial.sizeBytes}-` };
  if (partial.entityTag !== "") return { ...range, "if-range": partial.entityTag };
  // Without a tag only the checksum can tell whether the file is still the same.
  return request.sha256 === null ? {} : range;
}

/** Decides whether the answer continues the partial file or replaces it; returns the size of the whole file. */
async function acceptResponse(
  request: DownloadRequest,
  partial: PartialFile,
  response: HttpResponse,
): Promise<number | null> {
  if (response.status === 206) return continueWith(request, partial, response);
  if (response.status === 416) {
    await partial.discard();
    throw interrupted(request, "the server refused to go on with the download");
  }
  if (response.status !== 200) throw asStatusError(response.status, request.url);
  const length = response.headers["content-length"];
  const totalBytes = length === undefined ? request.sizeBytes : Number(length);
  requireSameSize(request, totalBytes);
  await partial.begin(strongTag(response.headers["etag"]));
  return totalBytes;
}

async function continueWith(
  request: DownloadRequest,
  partial: PartialFile,
  response: HttpResponse,
): Promise<number | null> {
  const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers["content-range"] ?? "") ?? [];
  if (Number(start) !== partial.sizeBytes) {
    await partial.discard();
    throw interrupted(request, "the server sent another range than was asked for");
  }
  const totalBytes = total === undefined || total === "*" ? request.sizeBytes : Number(total);
  requireSameSize(request, totalBytes);
  return totalBytes;
}

/** If-Range takes no weak tags. */
function strongTag(entityTag: string | undefined): string {
  return entityTag === undefined || entityTag.startsWith("W/") ? "" : entityTag;
}

function interrupted(request: DownloadRequest, reason: string): ModelStoreError {
  return new ModelStoreError("interrupted", `the download of ${request.label} broke off: ${reason}`);
}

function requireSameSize(request: DownloadRequest, totalBytes: number | null): void {
  if (request.sizeBytes === null || totalBytes === request.sizeBytes) return;
  throw new ModelStoreError(
    "size-mismatch",
    `${request.label} should have ${request.sizeBytes} bytes, but the server offers ${totalBytes}`,
  );
}

function requireAtMost(label: string, receivedBytes: number, totalBytes: number | null): void {
  if (totalBytes === null || receivedBytes <= totalBytes) return;
  throw new ModelStoreError(
    "size-mismatch",
    `the server sends more than the ${totalBytes} bytes of ${label}`,
  );
}

function requireChecksum(request: DownloadRequest, sha256: string): void {
  if (request.sha256 === null || sha256 === request.sha256) return;
  throw new ModelStoreError(
    "checksum-mismatch",
    `${request.label} has SHA-256 ${sha256}, expected ${request.sha256}; it was thrown away`,
  );
}

async function requireGguf(label: string, partial: PartialFile): Promise<void> {
  const magic = await partial.firstBytes(4);
  if (magic.toString("latin1") === "GGUF") return;
  throw new ModelStoreError("not-gguf", `${label} is no GGUF file; it was thrown away`);
}
