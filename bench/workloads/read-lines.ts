import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

/** The text of a file, decompressed when its name ends in `.gz`. Throws RangeError where there is none. */
export function readText(path: string): string {
  const bytes = readBytes(path);
  return (path.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8");
}

/** The non-empty lines of a text file. */
export function readLines(path: string): string[] {
  return readText(path)
    .split(/\r?\n/)
    .filter((line) => line.trim() !== "");
}

function readBytes(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new RangeError(`cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
}
