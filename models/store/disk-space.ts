import { statfs } from "node:fs/promises";

import { ModelStoreError } from "./model-store-error.ts";
import { formatBytes } from "./format-bytes.ts";

/** Left free for everybody else on the disk. */
const RESERVE_BYTES = 64 * 1024 * 1024;

/** Throws `disk-full` unless `neededBytes` more fit into the file system of `dir`, which must exist. */
export async function requireDiskSpace(dir: string, neededBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dir);
  const freeBytes = bavail * bsize;
  if (freeBytes >= neededBytes + RESERVE_BYTES) return;
  throw new ModelStoreError(
    "disk-full",
    `${formatBytes(neededBytes)} are needed in ${dir}, but only ${formatBytes(freeBytes)} are free; ` +
      "free some space or choose another folder with HEADWAY_CACHE",
  );
}
