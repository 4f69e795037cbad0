import { mkdir, rmdir } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import lockfile from "proper-lockfile";

import { asStoreError, errorCodeOf, ModelStoreError } from "./model-store-error.ts";
import type { StoreContext } from "./store-context.ts";

/** A lock whose owner was killed is taken over after this time. */
const STALE_MS = 10_000;
/** How often the owner shows that it lives, and sees whether the lock is still its own. */
const UPDATE_INTERVAL_MS = 2_000;
const POLL_INTERVAL_MS = 250;

/**
 * Runs `work` in `dir`, which exists while it runs, when no other process does; waits for those that do.
 * A folder that stays empty is removed.
 */
export async function withEntryLock<T>(
  dir: string,
  context: StoreContext,
  work: (context: StoreContext) => Promise<T>,
): Promise<T> {
  await createDir(dirname(dir));
  const lost = new AbortController();
  const release = await acquire(dir, context, lost);
  try {
    await createDir(dir);
    return await work({ ...context, signal: AbortSignal.any([context.signal, lost.signal]) });
  } catch (error) {
    throw lost.signal.aborted && !context.signal.aborted ? lockLostError() : error;
  } finally {
    await rmdir(dir).catch(() => undefined);
    await release().catch(() => undefined);
  }
}

/** The other process may be writing to the same files now. */
function lockLostError(): ModelStoreError {
  return new ModelStoreError(
    "interrupted",
    "the download stopped, because another process took it over while this one slept; start again to go on with it",
  );
}

async function createDir(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true }).catch((error: unknown) => {
    throw asStoreError(error, dir);
  });
}

async function acquire(
  dir: string,
  context: StoreContext,
  lost: AbortController,
): Promise<() => Promise<void>> {
  for (let isFirst = true; ; isFirst = false) {
    const release = await tryLock(dir, lost);
    if (release !== null) return release;
    if (isFirst) context.progress.notice("another process is fetching this model; waiting for it");
    await sleep(POLL_INTERVAL_MS, undefined, { signal: context.signal }).catch((error: unknown) => {
      throw asStoreError(error, dir);
    });
  }
}

/** Null where somebody else holds the lock. */
export async function tryLock(
  dir: string,
  lost = new AbortController(),
): Promise<(() => Promise<void>) | null> {
  try {
    return await lockfile.lock(dir, {
      stale: STALE_MS,
      update: UPDATE_INTERVAL_MS,
      realpath: false,
      onCompromised: () => lost.abort(),
    });
  } catch (error) {
    if (errorCodeOf(error) === "ELOCKED") return null;
    throw asStoreError(error, dir);
  }
}
