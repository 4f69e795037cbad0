import { basename } from "node:path";

/** Model id for a file: its name without folder, ending and part number. */
export function servedNameOf(path: string): string {
  return basename(path)
    .replace(/\.gguf$/i, "")
    .replace(/-\d{5}-of-\d{5}$/, "");
}
