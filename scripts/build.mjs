import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { runStep } from "./run-step.mjs";

const stampFile = "dist/.sources";
const entryFile = "dist/src/cli/main.js";

/** Whether dist/ was compiled from the sources as they are now, judged by their names, sizes and times. */
export function isBuilt(root) {
  try {
    return (
      existsSync(join(root, entryFile)) && readFileSync(join(root, stampFile), "utf8") === fingerprint(root)
    );
  } catch {
    return false;
  }
}

export async function build(root) {
  const sources = fingerprint(root);
  // Without its outputs the compiler's incremental state would make it skip files that are gone.
  if (!existsSync(join(root, entryFile))) rmSync(join(root, "dist"), { recursive: true, force: true });
  await runStep(
    "compiling",
    process.execPath,
    [join(root, "node_modules", "typescript", "bin", "tsc"), "-p", "tsconfig.build.json"],
    { cwd: root },
  );
  removeOrphans(root);
  mkdirSync(join(root, "dist"), { recursive: true });
  writeFileSync(join(root, stampFile), sources);
}

function fingerprint(root) {
  const hash = createHash("sha256");
  const files = ["tsconfig.json", "tsconfig.build.json", ...sourceFiles(root)];
  for (const file of files) {
    const { size, mtimeMs } = statSync(join(root, file));
    hash.update(`${file} ${size} ${mtimeMs}\n`);
  }
  return hash.digest("hex");
}

function sourceFiles(root) {
  return sourceFolders(root).flatMap((folder) =>
    filesIn(root, folder).filter((file) => file.endsWith(".ts")),
  );
}

function sourceFolders(root) {
  return JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8")).include;
}

function filesIn(root, folder) {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true })
    .map((name) => join(folder, name))
    .sort();
}

/** Outputs of sources that were deleted or renamed would otherwise live on: a removed test would still run. */
function removeOrphans(root) {
  for (const folder of sourceFolders(root)) {
    for (const file of filesIn(join(root, "dist"), folder)) {
      const match = /^(.*)\.js(\.map)?$/.exec(file);
      if (match && !existsSync(join(root, `${match[1]}.ts`)))
        rmSync(join(root, "dist", file), { force: true });
    }
  }
}
