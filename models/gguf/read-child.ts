/** Entry of the process that reads a model file for {@link readGgufFacts}; it may be killed at any time. */
import { deriveFacts } from "./derive-facts.ts";
import { GgufError } from "./gguf-error.ts";
import type { GgufFacts } from "./gguf-facts.ts";
import type { GgufErrorCode } from "./gguf-error.ts";
import { readModelHeader } from "./read-model-header.ts";

export type ReadReply =
  | { readonly facts: GgufFacts }
  | { readonly code: GgufErrorCode; readonly message: string };

function read(path: string): ReadReply {
  try {
    return { facts: deriveFacts(readModelHeader(path)) };
  } catch (error) {
    if (error instanceof GgufError) return { code: error.code, message: error.message };
    throw error;
  }
}

process.once("message", (path: string) => {
  process.send?.(read(path), () => process.disconnect());
});
