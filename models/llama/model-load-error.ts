import { statSync } from "node:fs";
import path from "node:path";

/** A model file cannot be served. The message is one sentence for the operator. */
export class ModelLoadError extends Error {
  override readonly name = "ModelLoadError";
}

/** Problems that need no library to be seen, or null. */
export function findFileProblem(modelPath: string): string | null {
  const name = path.basename(modelPath);
  try {
    const stats = statSync(modelPath);
    if (stats.isDirectory()) return `${modelPath} is a folder, not a GGUF file.`;
    if (stats.size === 0) return `The model file ${name} is empty.`;
    return null;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return `There is no model file at ${modelPath}.`;
    if (code === "EACCES") return `The model file ${modelPath} cannot be read: permission denied.`;
    return `The model file ${modelPath} cannot be read: ${code ?? String(error)}.`;
  }
}

interface Explanation {
  readonly pattern: RegExp;
  readonly say: (match: RegExpExecArray) => string;
}

/** What the library's complaints mean (src/llama-model-loader.cpp, src/llama-model.cpp, ggml/src/gguf.cpp). */
const EXPLANATIONS: readonly Explanation[] = [
  {
    pattern: /unknown model architecture: '([^']*)'/,
    say: ([, architecture]) =>
      `has the architecture "${architecture}", which this build of llama.cpp does not know`,
  },
  { pattern: /invalid magic characters|invalid magic/, say: () => "is not a GGUF file" },
  {
    pattern: /tensor '([^']*)' data is not within the file bounds/,
    say: ([, tensor]) => `is incomplete: the tensor "${tensor}" reaches beyond its end`,
  },
  {
    pattern: /missing tensor '([^']*)'/,
    say: ([, tensor]) => `is damaged: the tensor "${tensor}" is missing`,
  },
  {
    pattern: /key not found in model: (\S+)/,
    say: ([, key]) => `is damaged: its metadata lack "${key}"`,
  },
  {
    pattern: /unknown pre-tokenizer type: '([^']*)'/,
    say: ([, type]) => `uses the pre-tokenizer "${type}", which this build of llama.cpp does not know`,
  },
  {
    pattern: /unable to allocate (\S+) buffer|failed to allocate|out of memory|cudaMalloc failed|bad_alloc/i,
    say: () => "does not fit into memory",
  },
  {
    pattern: /failed to read|unexpectedly reached end|read error|failed to load GGUF/i,
    say: () => "is damaged or incomplete: its header or data cannot be read",
  },
];

/** One sentence from the library's own lines. */
export function explainLoadFailure(modelPath: string, complaints: readonly string[]): string {
  const subject = `The model file ${path.basename(modelPath)}`;
  for (const { pattern, say } of EXPLANATIONS) {
    for (const line of complaints) {
      const match = pattern.exec(line);
      if (match !== null) return `${subject} ${say(match)}.`;
    }
  }
  const last = complaints.find((line) => /error/i.test(line)) ?? complaints.at(0);
  const reason = last === undefined ? "no reason given" : withoutFunctionNames(last);
  return `${subject} cannot be loaded: ${reason}.`;
}

/** "llama_model_load: error loading model: x" says "x" to an operator. */
function withoutFunctionNames(line: string): string {
  return line
    .replace(/^\w+: /, "")
    .replace(/^error loading model: /, "")
    .replace(/\.$/, "");
}
