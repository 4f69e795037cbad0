import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";

/** A small JSON file that outlives the process, named after the facts that it is true for. */
export class KeptJson {
  readonly #file: string;

  constructor(folder: string, name: string, facts: readonly unknown[]) {
    const key = createHash("sha256").update(JSON.stringify(facts)).digest("hex").slice(0, 16);
    this.#file = path.join(folder, `${name}${key}.json`);
  }

  /** Undefined where nothing was kept, or nothing that can be read. */
  load(): unknown {
    try {
      return JSON.parse(readFileSync(this.#file, "utf8"));
    } catch {
      return undefined;
    }
  }

  /** What cannot be kept is learned again: failures are no reason to disturb serving. */
  save(value: unknown): void {
    const temporary = `${this.#file}.${process.pid}`;
    try {
      mkdirSync(path.dirname(this.#file), { recursive: true });
      writeFileSync(temporary, JSON.stringify(value));
      renameSync(temporary, this.#file);
    } catch {
      // A read-only or full disk.
    }
  }
}
