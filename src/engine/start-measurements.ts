import type { LayoutCosts } from "../../models/layout-choice.ts";
import type { ModelInfo } from "../../models/model-info.ts";
import type { StepTimeSnapshot } from "../../scheduler/step-time-model.ts";
import type { CopyCost } from "./copy-cost.ts";

/**
 * What the start of an engine finds out with calls of the model. The server hands it to the engine that replaces a dead
 * one: it is the same model on the same machine, and clients wait.
 */
export interface StartMeasurements {
  readonly on: readonly unknown[];
  readonly layoutCosts: LayoutCosts | null;
  /** Null where there was no host memory to copy to. */
  readonly copyCost: CopyCost | null;
  /** With which the deterministic mode has passed its check; null in another mode. */
  readonly rowMultiple: number | null;
  /** Null where a thread had been given up when they were measured. */
  readonly stepTimes: StepTimeSnapshot | null;
}

/** What could be another after a restart: a device or a library may be gone with the engine. */
export function circumstances({ backend, libraryVersion, kvLayout, numThreads }: ModelInfo): unknown[] {
  return [backend, libraryVersion, kvLayout, numThreads];
}

/** Null where they were made in other circumstances. */
export function stillValid(measured: StartMeasurements | null, info: ModelInfo): StartMeasurements | null {
  const isSame = measured !== null && JSON.stringify(measured.on) === JSON.stringify(circumstances(info));
  return isSame ? measured : null;
}
