import { basename } from "node:path";

import { parseGgufShardFilename, parseGGUFQuantLabel } from "@huggingface/gguf";

import type { HubSpec } from "./model-spec.ts";
import { ModelStoreError } from "./model-store-error.ts";

/** Which quantization to take when none is asked for: llama-server's order, then whatever comes first. */
const PREFERRED_QUANTS = ["Q4_K_M", "Q8_0"];
const MAX_SHOWN = 12;

/**
 * Picks the (first) file of a repository that a spec means: a path, a quantization, or the best guess.
 * Throws {@link ModelStoreError} `not-found` that lists what there is.
 */
export function selectModelFile(spec: HubSpec, paths: readonly string[]): string {
  const { selector } = spec;
  const candidates = paths
    .filter(isFirstPart)
    .filter((path) => !isCompanion(path))
    .sort();
  if (selector !== null) {
    const exact =
      paths.find((path) => path === selector) ?? candidates.find((path) => basename(path) === selector);
    const found = exact ?? candidates.find((path) => hasQuant(path, selector));
    if (found !== undefined) return found;
  } else {
    const preferred = PREFERRED_QUANTS.flatMap((quant) => candidates.filter((path) => hasQuant(path, quant)));
    const found = preferred[0] ?? candidates[0];
    if (found !== undefined) return found;
  }
  const wanted = selector === null ? "a GGUF file" : JSON.stringify(selector);
  throw new ModelStoreError("not-found", `${spec.repo} has no ${wanted}; ${describe(candidates)}`);
}

/** All parts of the model that starts with `first`, in order. Throws `not-found` where parts are missing. */
export function filesOfModel(first: string, paths: readonly string[]): string[] {
  const shard = parseGgufShardFilename(first);
  if (shard === null) return [first];
  const parts = paths.filter((path) => parseGgufShardFilename(path)?.prefix === shard.prefix).sort();
  if (parts.length === Number(shard.total)) return parts;
  throw new ModelStoreError(
    "not-found",
    `${first} has ${Number(shard.total)} parts, but only ${parts.length} are there`,
  );
}

function isFirstPart(path: string): boolean {
  const shard = parseGgufShardFilename(path);
  return shard === null || Number(shard.shard) === 1;
}

/** Files that go with a model but are none: vision projectors and importance matrices. */
function isCompanion(path: string): boolean {
  return /(^|[-_.])(mmproj|imatrix)([-_.]|$)/i.test(basename(path));
}

function hasQuant(path: string, quant: string): boolean {
  const wanted = quant.toUpperCase();
  return (
    parseGGUFQuantLabel(basename(path))?.toUpperCase() === wanted ||
    path.toUpperCase().startsWith(`${wanted}/`)
  );
}

function describe(paths: readonly string[]): string {
  if (paths.length === 0) return "it has none";
  const more = paths.length > MAX_SHOWN ? ` and ${paths.length - MAX_SHOWN} more` : "";
  return `it has ${paths.slice(0, MAX_SHOWN).join(", ")}${more}`;
}
