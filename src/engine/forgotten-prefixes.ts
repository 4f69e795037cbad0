import { readdirSync, rmdirSync, rmSync, statSync } from "node:fs";
import path from "node:path";

/** Longer than any pin lasts that was not prolonged, and with it written again. */
const MAX_AGE_MS = 8 * 24 * 3_600_000;

/**
 * Removes prefix files that have had no use for so long that their pins are over. The tier looks after the folder of
 * its own model and settings; this is for those of models, settings and libraries that nobody starts any more.
 */
export function removeForgotten(parent: string, nowMs = Date.now()): void {
  for (const folder of entriesOf(parent)) {
    // Asked before its files go, which changes it. A new one belongs to a server that is about to write.
    const isUnused = isOld(folder, nowMs);
    for (const file of entriesOf(folder)) attempt(() => removeIfOld(file, nowMs));
    // Fails, as it should, where files are left.
    if (isUnused) attempt(() => rmdirSync(folder));
  }
}

function removeIfOld(file: string, nowMs: number): void {
  if (isOld(file, nowMs)) rmSync(file, { force: true });
}

function isOld(entry: string, nowMs: number): boolean {
  const stats = statSync(entry, { throwIfNoEntry: false });
  return stats !== undefined && nowMs - stats.mtimeMs > MAX_AGE_MS;
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder).map((name) => path.join(folder, name));
  } catch {
    return [];
  }
}

function attempt(work: () => void): void {
  try {
    work();
  } catch {
    // What cannot be removed is passed over.
  }
}
