import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import path from "node:path";
import type { RegressionSnapshot } from "../../scheduler/decayed-regression.ts";
import type { StepTimeSnapshot } from "../../scheduler/step-time-model.ts";
import type { ModelInfo } from "../../models/model-info.ts";

const FORMAT = 1;

/** Keeps what was learned about step times between starts, one small file for each model on each kind of machine. */
export class StepTimeStore {
  readonly #file: string;

  constructor(folder: string, info: ModelInfo) {
    this.#file = path.join(folder, `${keyOf(info)}.json`);
  }

  /** Null where nothing was kept, or nothing that can be read. */
  load(): StepTimeSnapshot | null {
    try {
      const snapshot = JSON.parse(readFileSync(this.#file, "utf8")) as Partial<StepTimeSnapshot> | null;
      const { decode, prefill } = snapshot ?? {};
      return isRegression(decode) && isRegression(prefill) ? { decode, prefill } : null;
    } catch {
      return null;
    }
  }

  /** What cannot be kept is learned again: failures are no reason to disturb serving. */
  save(snapshot: StepTimeSnapshot): void {
    const temporary = `${this.#file}.${process.pid}`;
    try {
      mkdirSync(path.dirname(this.#file), { recursive: true });
      writeFileSync(temporary, JSON.stringify(snapshot));
      renameSync(temporary, this.#file);
    } catch {
      // A read-only or full disk.
    }
  }
}

function isRegression(value: RegressionSnapshot | undefined): value is RegressionSnapshot {
  return Array.isArray(value?.moments) && Array.isArray(value.targets);
}

/** Whatever changes step times changes the key. */
function keyOf(info: ModelInfo): string {
  const facts = [
    FORMAT,
    info.architecture,
    info.description,
    info.numParameters,
    info.sizeBytes,
    info.backend,
    info.deviceNames,
    info.libraryVersion,
    info.numThreads,
    info.flashAttention,
    info.kvPool.cacheTypeK,
    info.kvPool.cacheTypeV,
    cpus()[0]?.model,
  ];
  return createHash("sha256").update(JSON.stringify(facts)).digest("hex").slice(0, 16);
}
