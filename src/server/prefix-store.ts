import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import path from "node:path";
import type { ModelInfo } from "../../models/model-info.ts";
import { isRecord } from "./schemas/record.ts";

/** A prompt that a tenant wants to have at hand. Times are Unix milliseconds. */
export interface RegisteredPrefix {
  readonly id: string;
  readonly name: string | null;
  readonly tenantId: string;
  readonly tokens: readonly number[];
  readonly cacheSalt: string;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
}

/** Where registered prefixes outlive the server. */
export interface PrefixStore {
  load(): readonly RegisteredPrefix[];
  save(prefixes: readonly RegisteredPrefix[]): Promise<void>;
}

const FORMAT = 1;

/** One file for each model, since the tokens mean nothing to another; replaced whole, never changed in place. */
export class PrefixFileStore implements PrefixStore {
  readonly #file: string;
  /** Writes follow one another, so that the last list given is the one that stays. */
  #lastWrite: Promise<void> = Promise.resolve();

  constructor(folder: string, model: ModelInfo) {
    this.#file = path.join(folder, `${keyOf(model)}.json`);
  }

  /** Nothing where there is no file, or none that can be read. */
  load(): readonly RegisteredPrefix[] {
    try {
      const kept: unknown = JSON.parse(readFileSync(this.#file, "utf8"));
      if (!isRecord(kept) || kept["format"] !== FORMAT || !Array.isArray(kept["prefixes"])) return [];
      return (kept["prefixes"] as unknown[]).filter(isPrefix);
    } catch {
      return [];
    }
  }

  /** What cannot be kept is lost with the next restart, which is no reason to refuse it now. */
  save(prefixes: readonly RegisteredPrefix[]): Promise<void> {
    const text = JSON.stringify({ format: FORMAT, prefixes });
    this.#lastWrite = this.#lastWrite.then(() => this.#write(text)).catch(() => {});
    return this.#lastWrite;
  }

  async #write(text: string): Promise<void> {
    const temporary = `${this.#file}.${process.pid}.tmp`;
    mkdirSync(path.dirname(this.#file), { recursive: true, mode: 0o700 });
    await writeFile(temporary, text, { mode: 0o600 });
    await rename(temporary, this.#file);
  }
}

function isPrefix(value: unknown): value is RegisteredPrefix {
  if (!isRecord(value)) return false;
  const { id, name, tenantId, tokens, cacheSalt, createdAtMs, expiresAtMs } = value;
  const areTexts = [id, tenantId, cacheSalt].every((text) => typeof text === "string");
  const areTokens = Array.isArray(tokens) && tokens.length > 0 && tokens.every(Number.isSafeInteger);
  const areTimes = Number.isFinite(createdAtMs) && Number.isFinite(expiresAtMs);
  return areTexts && areTokens && areTimes && (name === null || typeof name === "string");
}

function keyOf({ architecture, description, numParameters, sizeBytes, vocabSize }: ModelInfo): string {
  const facts = [architecture, description, numParameters, sizeBytes, vocabSize];
  return createHash("sha256").update(JSON.stringify(facts)).digest("hex").slice(0, 32);
}
