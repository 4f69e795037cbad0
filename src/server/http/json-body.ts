import { isUtf8 } from "node:buffer";
import { invalidJson } from "../api-error.ts";
import { keepSidesOfInt64 } from "./int64-literals.ts";

const maxDepth = 128;

/**
 * Parses a JSON body after checking what the parser does not: valid UTF-8 and bounded nesting, since code that walks a
 * value by recursion would overflow the stack. Throws ApiError.
 */
export function parseJsonBody(bytes: Buffer): unknown {
  if (bytes.length === 0) throw invalidJson("The body is empty.");
  if (!isUtf8(bytes)) throw invalidJson("The body is not valid UTF-8.");
  if (exceedsDepth(bytes, maxDepth)) {
    throw invalidJson(`The body is nested deeper than ${maxDepth} levels.`);
  }
  try {
    return JSON.parse(keepSidesOfInt64(bytes.toString("utf8"))) as unknown;
  } catch {
    // The parser's own message quotes the body, which may be private and of any length.
    throw invalidJson("The body is not valid JSON.");
  }
}

const quote = 0x22;
const backslash = 0x5c;

/** Counts brackets outside strings; bytes of multi-byte characters are all above ASCII. */
function exceedsDepth(bytes: Buffer, limit: number): boolean {
  let depth = 0;
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = bytes[index];
    if (byte === quote) index = endOfString(bytes, index + 1);
    else if (byte === 0x5b || byte === 0x7b) depth += 1;
    else if (byte === 0x5d || byte === 0x7d) depth -= 1;
    if (depth > limit) return true;
  }
  return false;
}

/** Index of the quote that closes the string whose contents start at `from`. */
function endOfString(bytes: Buffer, from: number): number {
  let index = from;
  while (index < bytes.length && bytes[index] !== quote) index += bytes[index] === backslash ? 2 : 1;
  return index;
}
