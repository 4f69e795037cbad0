import type { ModelRunner } from "../../models/model-runner.ts";
import { StepTimeModel, type StepTimeSnapshot } from "../../scheduler/step-time-model.ts";
import { calibrate } from "./calibration.ts";
import type { StepTimeStore } from "./step-time-store.ts";

/** A start is held up by at most this and one call more, once for each model and machine; twice that beside other load. */
const CALIBRATION_BUDGET_MS = 3000;

export interface LearnStepTimesOptions {
  readonly runner: ModelRunner & {
    /** Compute threads of the next call. */
    readonly numThreads: number;
  };
  readonly stepTimes: StepTimeModel;
  /** By the engine that this one replaces, if any. */
  readonly known: StepTimeSnapshot | null;
  /** Null keeps nothing. */
  readonly store: Pick<StepTimeStore, "load" | "save"> | null;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/**
 * From an earlier run on this machine, else by a short calibration. Returns what keeps the knowledge for the next start,
 * unless other programs are slowing this one down.
 */
export function learnStepTimes(options: LearnStepTimesOptions): () => void {
  const { runner, stepTimes, known, store } = options;
  const save = (): void => {
    if (runner.numThreads === runner.info.numThreads) store?.save(stepTimes.snapshot());
  };
  const kept = known ?? store?.load() ?? null;
  if (kept !== null && stepTimes.restore(kept)) return save;
  stepTimes.restore(calibrateSteadily(options).snapshot());
  save();
  return save;
}

/** Calls with a thread too many for the cores that are free take a hundred times as long, so then it is done again. */
function calibrateSteadily({ runner, now }: LearnStepTimesOptions): StepTimeModel {
  const numThreadsBefore = runner.numThreads;
  const measure = (): StepTimeModel => {
    const stepTimes = new StepTimeModel();
    calibrate({ runner, stepTimes, now, budgetMs: CALIBRATION_BUDGET_MS });
    return stepTimes;
  };
  const measured = measure();
  return runner.numThreads === numThreadsBefore ? measured : measure();
}
