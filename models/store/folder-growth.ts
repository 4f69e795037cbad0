import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";

const POLL_INTERVAL_MS = 250;

/** Tells `onGrowth` how many bytes came into `dir` while another program downloads into it; returns the end of that. */
export function watchFolderGrowth(dir: string, onGrowth: (numBytes: number) => void): () => void {
  let knownBytes = 0;
  const measure = async (): Promise<void> => {
    const sizeBytes = await folderSize(dir);
    if (sizeBytes > knownBytes) onGrowth(sizeBytes - knownBytes);
    knownBytes = Math.max(knownBytes, sizeBytes);
  };
  const timer = setInterval(() => void measure(), POLL_INTERVAL_MS);
  return () => clearInterval(timer);
}

/** Files that vanish meanwhile count as nothing. */
async function folderSize(dir: string): Promise<number> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = entries.filter((entry) => entry.isFile());
  const sizes = await Promise.all(files.map((entry) => sizeOf(join(entry.parentPath, entry.name))));
  return sizes.reduce((total, size) => total + size, 0);
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}
