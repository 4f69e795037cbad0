import { cpus } from "node:os";
import type { RegressionSnapshot } from "../../scheduler/decayed-regression.ts";
import type { StepTimeSnapshot } from "../../scheduler/step-time-model.ts";
import type { ModelInfo } from "../../models/model-info.ts";
import { KeptJson } from "./kept-json.ts";

const FORMAT = 3;

/** Keeps what was learned about step times between starts, one small file for each model on each kind of machine. */
export class StepTimeStore {
  readonly #kept: KeptJson;

  constructor(folder: string, info: ModelInfo) {
    this.#kept = new KeptJson(folder, "", factsOf(info));
  }

  /** Null where nothing was kept, or nothing that can be read. */
  load(): StepTimeSnapshot | null {
    const snapshot = this.#kept.load() as Partial<StepTimeSnapshot> | null | undefined;
    const { decode, prefill } = snapshot ?? {};
    return isRegression(decode) && isRegression(prefill) ? { decode, prefill } : null;
  }

  save(snapshot: StepTimeSnapshot): void {
    this.#kept.save(snapshot);
  }
}

function isRegression(value: RegressionSnapshot | undefined): value is RegressionSnapshot {
  return Array.isArray(value?.moments) && Array.isArray(value.targets);
}

/** Whatever changes step times. */
function factsOf(info: ModelInfo): unknown[] {
  return [
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
    info.kvLayout,
    info.isDeterministic,
    info.kvPool.cacheTypeK,
    info.kvPool.cacheTypeV,
    cpus()[0]?.model,
  ];
}
