import type { ByteReader } from "./byte-reader.ts";
import { GgufError, quote } from "./gguf-error.ts";
import { readVocabulary, TOKENS_KEY } from "./vocabulary.ts";

/** An array of the metadata; its values are kept only where they are few numbers (one a layer). */
export interface MetadataArray {
  readonly length: number;
  readonly values: readonly number[] | null;
}

export type MetadataValue = number | boolean | string | MetadataArray;
export type Metadata = ReadonlyMap<string, MetadataValue>;

/** Far above any published model, far below what would make a reader slow (most have 20 to 60 keys). */
const MAX_KEYS = 16_384;
/** Limit of the GGUF specification. */
const MAX_KEY_BYTES = 65_535;
const MAX_ARRAY_LENGTH = 1 << 24;
const MAX_KEPT_ARRAY_LENGTH = 1024;
const MAX_TEXT_BYTES = 1024 * 1024;
const MAX_TOTAL_TEXT_BYTES = 16 * 1024 * 1024;
/** Length, one character, value type, one byte of value. */
const MIN_KEY_VALUE_BYTES = 8 + 1 + 4 + 1;

export const ALIGNMENT_KEY = "general.alignment";

const MIN_TEXT_BYTES = 8;

const UINT32 = 4;
const STRING = 8;
const ARRAY = 9;

interface NumericType {
  readonly sizeBytes: number;
  read(reader: ByteReader, what: string): number | boolean;
}

/** Value types of the GGUF specification by id, less STRING and ARRAY. */
const NUMERIC_TYPES: ReadonlyMap<number, NumericType> = new Map<number, NumericType>([
  [0, { sizeBytes: 1, read: (reader, what) => reader.u8(what) }],
  [1, { sizeBytes: 1, read: (reader, what) => reader.i8(what) }],
  [2, { sizeBytes: 2, read: (reader, what) => reader.u16(what) }],
  [3, { sizeBytes: 2, read: (reader, what) => reader.i16(what) }],
  [UINT32, { sizeBytes: 4, read: (reader, what) => reader.u32(what) }],
  [5, { sizeBytes: 4, read: (reader, what) => reader.i32(what) }],
  [6, { sizeBytes: 4, read: (reader, what) => reader.f32(what) }],
  [7, { sizeBytes: 1, read: (reader, what) => reader.u8(what) !== 0 }],
  [10, { sizeBytes: 8, read: (reader, what) => reader.u64(what) }],
  [11, { sizeBytes: 8, read: (reader, what) => reader.i64(what) }],
  [12, { sizeBytes: 8, read: (reader, what) => reader.f64(what) }],
]);

/** Reads the key-value section. Texts beyond 1 MiB are skipped, but for the chat template, which is refused. */
export function readMetadata(reader: ByteReader, numKeys: number): Metadata {
  requireCount(reader, numKeys);
  const metadata = new Map<string, MetadataValue>();
  let totalTextBytes = 0;
  for (let index = 0; index < numKeys; index += 1) {
    const key = readKey(reader, index);
    if (metadata.has(key)) throw new GgufError("duplicate-key", `key ${quote(key)} occurs twice`);
    const value = readValue(reader, key);
    totalTextBytes += key.length + (typeof value === "string" ? value.length : 0);
    if (totalTextBytes > MAX_TOTAL_TEXT_BYTES) {
      throw new GgufError("too-large", `the metadata hold more than ${MAX_TOTAL_TEXT_BYTES} bytes of text`);
    }
    metadata.set(key, value);
  }
  return metadata;
}

function requireCount(reader: ByteReader, numKeys: number): void {
  const mostThatFit = Math.floor(reader.remainingBytes / MIN_KEY_VALUE_BYTES);
  if (numKeys <= Math.min(mostThatFit, MAX_KEYS)) return;
  throw new GgufError(
    "bad-count",
    `it claims ${numKeys} metadata keys; at most ${MAX_KEYS} are accepted and ${mostThatFit} fit in the file`,
  );
}

function readKey(reader: ByteReader, index: number): string {
  const what = `metadata key ${index}`;
  const numBytes = reader.u64(what);
  if (numBytes === 0) throw new GgufError("bad-key", `${what} is empty`);
  if (numBytes > MAX_KEY_BYTES) {
    throw new GgufError("bad-key", `${what} claims ${numBytes} bytes; at most ${MAX_KEY_BYTES} are allowed`);
  }
  return reader.text(numBytes, what);
}

function readValue(reader: ByteReader, key: string): MetadataValue {
  const what = `the value of key ${quote(key)}`;
  const typeId = reader.u32(what);
  if (key === ALIGNMENT_KEY && typeId !== UINT32) {
    throw new GgufError(
      "bad-alignment",
      `${ALIGNMENT_KEY} must be a 32-bit number, its value type is ${typeId}`,
    );
  }
  if (typeId === STRING) return readText(reader, key);
  if (typeId === ARRAY) return readArray(reader, key);
  const numeric = NUMERIC_TYPES.get(typeId);
  if (numeric === undefined)
    throw new GgufError("bad-value", `key ${quote(key)} has the unknown value type ${typeId}`);
  return numeric.read(reader, what);
}

function readText(reader: ByteReader, key: string): string {
  const what = `the text of key ${quote(key)}`;
  const numBytes = reader.u64(what);
  reader.require(numBytes, what);
  if (numBytes <= MAX_TEXT_BYTES) return reader.text(numBytes, what);
  if (key.startsWith("tokenizer.chat_template")) {
    throw new GgufError(
      "too-large",
      `its chat template has ${numBytes} bytes; at most ${MAX_TEXT_BYTES} are accepted`,
    );
  }
  reader.skip(numBytes, what);
  return "";
}

function readArray(reader: ByteReader, key: string): MetadataArray {
  const what = `the array of key ${quote(key)}`;
  const typeId = reader.u32(what);
  const length = reader.u64(what);
  const numeric = NUMERIC_TYPES.get(typeId);
  if (numeric === undefined && typeId !== STRING) {
    throw new GgufError(
      "bad-value",
      `key ${quote(key)} is an array of the unknown or unsupported type ${typeId}`,
    );
  }
  if (length > MAX_ARRAY_LENGTH) {
    throw new GgufError(
      "bad-count",
      `key ${quote(key)} claims an array of ${length} elements; at most ${MAX_ARRAY_LENGTH} are accepted`,
    );
  }
  reader.require(length * (numeric?.sizeBytes ?? MIN_TEXT_BYTES), what);
  if (numeric !== undefined) return { length, values: readNumbers(reader, { numeric, length, what }) };
  if (key === TOKENS_KEY) readVocabulary(reader, length);
  else skipTexts(reader, length, what);
  return { length, values: null };
}

function readNumbers(
  reader: ByteReader,
  array: { numeric: NumericType; length: number; what: string },
): number[] | null {
  const { numeric, length, what } = array;
  if (length > MAX_KEPT_ARRAY_LENGTH) {
    reader.skip(length * numeric.sizeBytes, what);
    return null;
  }
  return Array.from({ length }, () => Number(numeric.read(reader, what)));
}

function skipTexts(reader: ByteReader, length: number, what: string): void {
  for (let index = 0; index < length; index += 1) reader.skip(reader.u64(what), what);
}
