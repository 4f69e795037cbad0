export interface SchedulerOptions {
  readonly maxNumSeqs: number;
  /** Most tokens of one model call. */
  readonly maxNumBatchedTokens: number;
  /** Most tokens of one sequence, prompt and output; the pool must hold as many. */
  readonly maxModelLen: number;
  /** Step time to keep while sequences decode; null lets the step-time model choose. */
  readonly targetItlMs: number | null;
  /**
   * Every position is computed in the same shape whatever else happens: prompt tokens with others of their sequence,
   * generated ones alone, also when they are computed again. False by default.
   */
  readonly isDeterministic?: boolean;
  readonly eogTokenIds: readonly number[];
  /** The head start that one step of priority is worth. */
  readonly priorityAgeingMs: number;
}

export const DEFAULT_PRIORITY_AGEING_MS = 10_000;
