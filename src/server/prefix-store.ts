import { createHash, randomUUID } from "node:crypto";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
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
  add(prefix: RegisteredPrefix): Promise<void>;
  remove(id: string): Promise<void>;
}

const FORMAT = 1;
const SUFFIX = ".json";

/**
 * A folder for each model, since the tokens mean nothing to another, and a file for each prefix: servers that share the
 * folder do not write over what others have registered. What cannot be kept is lost with the next restart, which is no
 * reason to refuse it now.
 */
export class PrefixFileStore implements PrefixStore {
  readonly #folder: string;
  /** One change at a time, so that what is removed while it is written is not there afterwards. */
  #lastChange: Promise<void> = Promise.resolve();

  constructor(folder: string, model: ModelInfo) {
    this.#folder = path.join(folder, `registered-${keyOf(model)}`);
  }

  /** Those whose time is not over, oldest first; files of the others go. */
  load(): readonly RegisteredPrefix[] {
    const names = listFiles(this.#folder).filter((name) => name.endsWith(SUFFIX));
    const prefixes = names.map((name) => this.#read(name)).filter((prefix) => prefix !== null);
    return prefixes.toSorted((left, right) => left.createdAtMs - right.createdAtMs);
  }

  add(prefix: RegisteredPrefix): Promise<void> {
    return this.#change(() => this.#write(prefix));
  }

  remove(id: string): Promise<void> {
    return this.#change(() => rm(this.#fileOf(id), { force: true }));
  }

  #change(work: () => Promise<void>): Promise<void> {
    this.#lastChange = this.#lastChange.then(work).catch(() => {});
    return this.#lastChange;
  }

  #read(name: string): RegisteredPrefix | null {
    const file = path.join(this.#folder, name);
    try {
      const kept: unknown = JSON.parse(readFileSync(file, "utf8"));
      if (!isRecord(kept) || kept["format"] !== FORMAT || !isPrefix(kept["prefix"])) return null;
      const { prefix } = kept;
      if (prefix.expiresAtMs > Date.now()) return this.#fileOf(prefix.id) === file ? prefix : null;
      rmSync(file, { force: true });
    } catch {
      // Torn or unreadable: whoever wrote it has lost it.
    }
    return null;
  }

  /** Appears under its name whole or not at all. */
  async #write(prefix: RegisteredPrefix): Promise<void> {
    const file = this.#fileOf(prefix.id);
    const temporary = `${file}.${randomUUID()}.tmp`;
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await writeFile(temporary, JSON.stringify({ format: FORMAT, prefix }), { mode: 0o600 });
    await rename(temporary, file);
  }

  #fileOf(id: string): string {
    return path.join(this.#folder, id + SUFFIX);
  }
}

function listFiles(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
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
