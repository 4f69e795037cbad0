import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

/** The text of a file, decompressed when its name ends in `.gz`. */
export function readText(path: string): string {
  const bytes = readFileSync(path);
  return (path.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString("utf8");
}

/** The non-empty lines of a text file. */
export function readLines(path: string): string[] {
  return readText(path)
    .split(/\r?\n/)
    .filter((line) => line.trim() !== "");
}
