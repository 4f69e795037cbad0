import type { ByteReader } from "./byte-reader.ts";
import { GgufError, quote } from "./gguf-error.ts";

export const TOKENS_KEY = "tokenizer.ggml.tokens";

/** Four times the largest published vocabulary. */
const MAX_TOKENS = 1 << 20;
const MAX_TOKEN_BYTES = 65_535;
const MAX_VOCABULARY_BYTES = 64 * 1024 * 1024;

/**
 * Passes over the tokens and refuses vocabularies that have one twice: at those libllama aborts its process
 * (src/llama-vocab.cpp).
 */
export function readVocabulary(reader: ByteReader, numTokens: number): void {
  if (numTokens > MAX_TOKENS) {
    throw new GgufError("bad-count", `it claims ${numTokens} tokens; at most ${MAX_TOKENS} are accepted`);
  }
  const seen = new Set<string>();
  let totalBytes = 0;
  for (let id = 0; id < numTokens; id += 1) {
    const token = readToken(reader, id);
    totalBytes += token.length;
    if (totalBytes > MAX_VOCABULARY_BYTES) {
      throw new GgufError("too-large", `its tokens have more than ${MAX_VOCABULARY_BYTES} bytes`);
    }
    // libllama gives empty tokens a name with their number.
    if (token === "") continue;
    if (seen.has(token))
      throw new GgufError("duplicate-token", `its token ${id}, ${quote(token)}, occurs twice`);
    seen.add(token);
  }
}

/** One character for each byte, as far as the first zero byte, where C's strings end. */
function readToken(reader: ByteReader, id: number): string {
  const what = `token ${id}`;
  const numBytes = reader.u64(what);
  if (numBytes > MAX_TOKEN_BYTES) {
    throw new GgufError(
      "bad-value",
      `${what} claims ${numBytes} bytes; at most ${MAX_TOKEN_BYTES} are accepted`,
    );
  }
  const token = reader.text(numBytes, what, "latin1");
  const end = token.indexOf("\u0000");
  return end < 0 ? token : token.slice(0, end);
}
