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
    for (const file of entriesOf(folder)) attempt(() => removeIfOld(file, nowMs));
    // Fails, as it should, where files are left.
    attempt(() => rmdirSync(folder));
  }
}

function removeIfOld(file: string, nowMs: number): void {
  if (nowMs - statSync(file).mtimeMs > MAX_AGE_MS) rmSync(file, { force: true });
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
