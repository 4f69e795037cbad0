import { join } from "node:path";

import type { StoredModel } from "./store-entry.ts";

/** A model that lies on this machine, ready to be loaded. */
export interface ResolvedModel {
  /** Id under which it is served. */
  readonly name: string;
  /** Absolute path of the (first) GGUF file; libllama finds the other parts itself. */
  readonly path: string;
  readonly files: readonly string[];
  /** Where it came from, a line for a person. */
  readonly source: string;
  /** Why the demo model stands in for the default, one line; null where it does not. */
  readonly fallbackReason: string | null;
}

export interface ResolvedOrigin {
  readonly name: string;
  readonly source: string;
}

export function resolvedModel(files: readonly string[], origin: ResolvedOrigin): ResolvedModel {
  const [path] = files;
  if (path === undefined) throw new RangeError("a model has at least one file");
  return { ...origin, path, files, fallbackReason: null };
}

export function resolvedFromStore(model: StoredModel, name: string = model.name): ResolvedModel {
  const files = model.files.map((file) => join(model.dir, file.name));
  return resolvedModel(files, { name, source: `${model.spec}, kept in ${model.dir}` });
}
