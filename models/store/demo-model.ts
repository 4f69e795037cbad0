import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { ModelStoreError } from "./model-store-error.ts";

const DEMO_FILE = "models/demo/headway-demo.gguf";
/** From the compiled file in dist/models/store/ and from the source file in models/store/. */
const PACKAGE_ROOTS = ["../../../", "../../"];

/** Path of the model that comes with the package. */
export function demoModelPath(): string {
  const candidates = PACKAGE_ROOTS.map((root) => fileURLToPath(new URL(root + DEMO_FILE, import.meta.url)));
  const path = candidates.find((candidate) => existsSync(candidate));
  if (path !== undefined) return path;
  throw new ModelStoreError("not-found", `the demo model ${DEMO_FILE} is missing from this installation`);
}
