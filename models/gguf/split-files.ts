import { GgufError } from "./gguf-error.ts";

/** One file of a split model, as llama.cpp names them: "name-00001-of-00003.gguf". */
export interface PartName {
  readonly prefix: string;
  readonly part: number;
  readonly numParts: number;
}

/** Null for the name of a model that is not split. */
export function parsePartName(path: string): PartName | null {
  const [, prefix, part, numParts] = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/s.exec(path) ?? [];
  return prefix === undefined ? null : { prefix, part: Number(part), numParts: Number(numParts) };
}

/** The files of a model of which `path` is the first (or only) one. Whether they exist is not looked at. */
export function splitFiles(path: string): string[] {
  const name = parsePartName(path);
  if (name === null) return [path];
  const { prefix, part, numParts } = name;
  if (part === 1 && numParts > 0) {
    return Array.from({ length: numParts }, (_, index) =>
      formatPartName({ prefix, part: index + 1, numParts }),
    );
  }
  const first = formatPartName({ prefix, part: 1, numParts });
  throw new GgufError(
    "mismatched-part",
    `${path} is part ${part} of ${numParts}; give the first part, ${first}`,
  );
}

function formatPartName({ prefix, part, numParts }: PartName): string {
  return `${prefix}-${fiveDigits(part)}-of-${fiveDigits(numParts)}.gguf`;
}

function fiveDigits(value: number): string {
  return String(value).padStart(5, "0");
}
