import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * Path of a file that is shipped but not compiled, such as package.json or the demo model. The compiled code lies
 * one folder deeper than its sources, so the package's root is found by its package.json and not by counting.
 */
export function packageFile(relativePath: string): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "package.json"))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error("package.json of Headway is missing");
    folder = parent;
  }
  return join(folder, relativePath);
}
