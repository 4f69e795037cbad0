import type { Batch, BatchResult, CacheOp } from "../scheduler/contracts.ts";
import type { ModelInfo } from "./model-info.ts";

/** The seam to a model. Calls are synchronous and block for the whole computation. */
export interface ModelRunner {
  readonly info: ModelInfo;
  /** Applies cache operations in order. */
  apply(operations: readonly CacheOp[]): void;
  /**
   * Computes one batch and draws the tokens it asks for.
   * Throws ModelRunnerError when the library refuses: the engine process is then restarted.
   */
  execute(batch: Batch): BatchResult;
  /** Cells in use in the KV memory, for the integrity check against the manager's blocks; null when unknown. */
  numUsedCells(): number | null;
  close(): void;
}

export class ModelRunnerError extends Error {
  override readonly name = "ModelRunnerError";
}
