import { statSync } from "node:fs";
import { basename } from "node:path";

import type { ModelHeader } from "./derive-facts.ts";
import { GgufError, quote } from "./gguf-error.ts";
import type { GgufHeader } from "./header.ts";
import { readGgufHeader } from "./header.ts";
import { MetadataView } from "./metadata-view.ts";
import { splitFiles } from "./split-files.ts";
import type { TensorInfo } from "./tensors.ts";

const MAX_PARTS = 65_535;

/** Reads all parts of a model and checks that they belong together. Throws {@link GgufError}. */
export function readModelHeader(path: string): ModelHeader {
  const files = splitFiles(path);
  const parts = files.map((file) => readPart(file, files.length));
  const [first] = parts;
  if (first === undefined) throw new GgufError("mismatched-part", "its name claims that it has no parts");
  requireMatchingParts(parts, files);
  return {
    files,
    version: first.version,
    metadata: first.metadata,
    tensors: joinTensors(parts),
    sizeBytes: files.reduce((total, file) => total + statSync(file).size, 0),
  };
}

function readPart(file: string, numParts: number): GgufHeader {
  try {
    return readGgufHeader(file);
  } catch (error) {
    if (!(error instanceof GgufError) || numParts === 1) throw error;
    const code = error.code === "not-found" ? "missing-part" : error.code;
    throw new GgufError(code, `its part ${quote(basename(file))}: ${error.message}`, { cause: error });
  }
}

/** Every part of a split model says which part it is and how many there are (llama.cpp tools/gguf-split). */
function requireMatchingParts(parts: readonly GgufHeader[], files: readonly string[]): void {
  for (const [index, part] of parts.entries()) {
    const view = new MetadataView(part.metadata);
    const count = view.count("split.count", MAX_PARTS) ?? 1;
    const position = view.count("split.no", MAX_PARTS) ?? 0;
    if (Math.max(count, 1) === parts.length && position === index) continue;
    const file = quote(basename(files[index] ?? ""));
    throw new GgufError(
      "mismatched-part",
      `${file} says it is part ${position + 1} of ${count}, but its name says part ${index + 1} of ${parts.length}`,
    );
  }
}

function joinTensors(parts: readonly GgufHeader[]): TensorInfo[] {
  const tensors = parts.flatMap((part) => part.tensors);
  requireUniqueNames(tensors);
  const [first] = parts;
  const expected = first && new MetadataView(first.metadata).count("split.tensors.count", 2 ** 31);
  if (parts.length > 1 && expected !== null && expected !== tensors.length) {
    throw new GgufError(
      "mismatched-part",
      `its parts hold ${tensors.length} tensors, but ${expected} are announced`,
    );
  }
  return tensors;
}

function requireUniqueNames(tensors: readonly TensorInfo[]): void {
  const names = new Set<string>();
  for (const { name } of tensors) {
    if (names.has(name)) throw new GgufError("duplicate-tensor", `tensor ${quote(name)} occurs in two parts`);
    names.add(name);
  }
}
