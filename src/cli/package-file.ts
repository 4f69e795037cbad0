import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * Path of a file that is shipped but not compiled, such as package.json or the demo model. The compiled code lies
 * one folder deeper than its sources, so the package's root is found by its package.json and not by counting.
 */
export function packageFile(relativePath: string): string {
  return join(packageRoot(fileURLToPath(import.meta.url)), relativePath);
}

export function headwayVersion(): string {
  return readVersion(packageFile("package.json"));
}

/** Version of an installed dependency, or null where there is none. */
export function dependencyVersion(name: string): string | null {
  try {
    const entry = createRequire(import.meta.url).resolve(name);
    return readVersion(join(packageRoot(entry), "package.json"));
  } catch {
    return null;
  }
}

function packageRoot(file: string): string {
  let folder = dirname(file);
  while (!existsSync(join(folder, "package.json"))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error(`${file} belongs to no package`);
    folder = parent;
  }
  return folder;
}

function readVersion(packageJson: string): string {
  return (JSON.parse(readFileSync(packageJson, "utf8")) as { version: string }).version;
}
