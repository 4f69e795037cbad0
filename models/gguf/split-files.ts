import { parseGgufShardFilename } from "@huggingface/gguf";

import { GgufError } from "./gguf-error.ts";

/**
 * The files of a model of which `path` is the first (or only) one, by llama.cpp's naming
 * "name-00001-of-00003.gguf". Whether they exist is not looked at.
 */
export function splitFiles(path: string): string[] {
  const shard = parseGgufShardFilename(path);
  if (shard === null) return [path];
  const total = Number(shard.total);
  if (Number(shard.shard) !== 1) {
    throw new GgufError(
      "mismatched-part",
      `it is part ${Number(shard.shard)} of ${total}; give the first part, ${partName(shard.prefix, 1, total)}`,
    );
  }
  return Array.from({ length: total }, (_, index) => partName(shard.prefix, index + 1, total));
}

function partName(prefix: string, part: number, total: number): string {
  return `${prefix}-${fiveDigits(part)}-of-${fiveDigits(total)}.gguf`;
}

function fiveDigits(value: number): string {
  return String(value).padStart(5, "0");
}
