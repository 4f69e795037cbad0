import type {
  FinishReason,
  PinnedPrefix,
  SchedulerStats,
  SequenceRequest,
  TokenLogprob,
} from "../../scheduler/contracts.ts";
import type { Pace } from "../../scheduler/queue-model.ts";
import type { ModelInfo } from "../../models/model-info.ts";
import type { EngineSnapshot } from "./engine-snapshot.ts";
import type { StartMeasurements } from "./start-measurements.ts";

/**
 * Messages between the server process and an engine process: JSON over the child's IPC channel.
 * The server sends at most one per turn of its event loop, the engine at most one per model call.
 */
export interface ToEngine {
  readonly submit?: readonly SequenceRequest[];
  readonly abort?: readonly string[];
  /** Slow readers: their sequences keep their blocks but get no rows until resumed. */
  readonly pause?: readonly string[];
  readonly resume?: readonly string[];
  /** Ids of questions that are each answered with a snapshot. */
  readonly snapshot?: readonly number[];
  /** Prefixes that their owners want to keep no longer. */
  readonly unpin?: readonly PinnedPrefix[];
  readonly shutdown?: true;
}

/** What one model call did for one request. */
export interface SequenceOutput {
  readonly requestId: string;
  /** Set once, when the sequence first gets rows. */
  readonly numCachedTokens?: number;
  /** Prompt tokens computed so far, cached ones included; sent while prefilling. */
  readonly numComputedTokens?: number;
  readonly promptLogprobs?: readonly {
    readonly token: TokenLogprob;
    readonly top: readonly TokenLogprob[];
  }[];
  readonly tokenId?: number;
  readonly logprob?: number;
  readonly topLogprobs?: readonly TokenLogprob[];
  readonly preempted?: true;
  readonly finishReason?: FinishReason;
  /** Present with finishReason "error": a sentence for the client. */
  readonly error?: string;
}

/** Time spent in one step, milliseconds. */
export interface StepTimes {
  readonly scheduleMs: number;
  readonly executeMs: number;
  readonly updateMs: number;
  readonly numDecodeRows: number;
  readonly numPrefillTokens: number;
}

export type FromEngine =
  | { readonly type: "loading"; readonly progress: number }
  | { readonly type: "log"; readonly level: "debug" | "info" | "warn" | "error"; readonly message: string }
  /** The number of compute threads follows the cores that are free. */
  | { readonly type: "threads"; readonly numThreads: number; readonly reason: string }
  | {
      readonly type: "ready";
      readonly info: ModelInfo;
      readonly notes: readonly string[];
      readonly pace: Pace;
      readonly measured?: StartMeasurements;
    }
  /** The model cannot be served; one sentence. The engine exits after it and is not restarted. */
  | { readonly type: "refused"; readonly reason: string }
  | { readonly type: "snapshot"; readonly id: number; readonly snapshot: EngineSnapshot }
  | {
      readonly type: "step";
      readonly outputs: readonly SequenceOutput[];
      readonly times: StepTimes;
      readonly stats: SchedulerStats;
      /** Of one request alone, as the engine would work now. */
      readonly pace: Pace;
    };
