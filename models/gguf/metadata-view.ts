import { GgufError, quote } from "./gguf-error.ts";
import type { Metadata, MetadataArray } from "./metadata.ts";

/** Typed look-ups that refuse values of the wrong kind: a key may be missing, but never nonsense. */
export class MetadataView {
  readonly #metadata: Metadata;

  constructor(metadata: Metadata) {
    this.#metadata = metadata;
  }

  has(key: string): boolean {
    return this.#metadata.has(key);
  }

  text(key: string): string | null {
    const value = this.#metadata.get(key);
    if (value === undefined) return null;
    if (typeof value === "string") return value;
    throw new GgufError("bad-value", `key ${quote(key)} must be text`);
  }

  number(key: string): number | null {
    const value = this.#metadata.get(key);
    if (value === undefined) return null;
    if (typeof value === "number" && Number.isFinite(value)) return value;
    throw new GgufError("bad-value", `key ${quote(key)} must be a number`);
  }

  boolean(key: string): boolean | null {
    const value = this.#metadata.get(key);
    if (value === undefined) return null;
    if (typeof value === "boolean") return value;
    throw new GgufError("bad-value", `key ${quote(key)} must be true or false`);
  }

  /** A whole number from 0 to `max`. */
  count(key: string, max: number): number | null {
    const value = this.number(key);
    if (value === null) return null;
    return requireCount(key, value, max);
  }

  /** One number for all layers or an array with one a layer. */
  countPerLayer(key: string, numLayers: number, max: number): number[] | null {
    const value = this.#metadata.get(key);
    if (!isArray(value)) {
      const count = this.count(key, max);
      return count === null ? null : Array.from({ length: numLayers }, () => count);
    }
    if (value.values === null || value.values.length < numLayers) {
      throw new GgufError(
        "bad-value",
        `key ${quote(key)} must be a number or have one number for each layer`,
      );
    }
    return value.values.slice(0, numLayers).map((item) => requireCount(key, item, max));
  }

  arrayLength(key: string): number | null {
    const value = this.#metadata.get(key);
    if (value === undefined) return null;
    if (isArray(value)) return value.length;
    throw new GgufError("bad-value", `key ${quote(key)} must be an array`);
  }
}

function isArray(value: unknown): value is MetadataArray {
  return typeof value === "object" && value !== null;
}

function requireCount(key: string, value: number, max: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw new GgufError(
    "bad-value",
    `key ${quote(key)} is ${value}; it must be a whole number from 0 to ${max}`,
  );
}
