import { basename } from "node:path";

import { parseGGUFQuantLabel } from "@huggingface/gguf";

import { parsePartName } from "../gguf/split-files.ts";
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
  const found = selector === null ? bestGuess(candidates) : findSelected(selector, candidates, paths);
  if (found !== undefined) return found;
  const wanted = selector === null ? "a GGUF file" : JSON.stringify(selector);
  throw new ModelStoreError("not-found", `${spec.repo} has no ${wanted}; ${describe(candidates)}`);
}

function bestGuess(candidates: readonly string[]): string | undefined {
  const preferred = PREFERRED_QUANTS.map((quant) => candidates.find((path) => hasQuant(path, quant)));
  return preferred.find((path) => path !== undefined) ?? candidates[0];
}

/** A whole path means itself, even where it is none of the candidates. */
function findSelected(
  selector: string,
  candidates: readonly string[],
  paths: readonly string[],
): string | undefined {
  return (
    paths.find((path) => path === selector) ??
    candidates.find((path) => basename(path) === selector) ??
    candidates.find((path) => hasQuant(path, selector))
  );
}

/** All parts of the model that starts with `first`, in order. Throws `not-found` where parts are missing. */
export function filesOfModel(first: string, paths: readonly string[]): string[] {
  const name = parsePartName(first);
  if (name === null) return [first];
  const parts = paths.filter((path) => parsePartName(path)?.prefix === name.prefix).sort();
  if (parts.length === name.numParts) return parts;
  throw new ModelStoreError(
    "not-found",
    `${first} has ${name.numParts} parts, but only ${parts.length} are there`,
  );
}

function isFirstPart(path: string): boolean {
  const name = parsePartName(path);
  return name === null || name.part === 1;
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
