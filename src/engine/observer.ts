import type { FinishReason, SchedulerStats } from "../../scheduler/contracts.ts";
import type { StepTimes } from "./protocol.ts";

/** A request that has ended, for histograms. Times in milliseconds on the monotonic clock. */
export interface FinishedRequest {
  /** One entry per choice. */
  readonly finishReasons: readonly FinishReason[];
  readonly tenantId: string;
  /** Whether its latency targets were met; null when it had none. */
  readonly metTargets: boolean | null;
  readonly numChoices: number;
  readonly maxTokens: number;
  readonly numPromptTokens: number;
  readonly numCachedTokens: number;
  readonly numGeneratedTokens: number;
  /** Of the longest choice. */
  readonly maxNumGeneratedTokens: number;
  readonly ttftMs: number | null;
  readonly queueMs: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
  /** Of both, while it waited for its reader. */
  readonly pausedMs: number;
  readonly e2eMs: number;
  /** Mean gap between tokens after the first; null with fewer than two. */
  readonly tpotMs: number | null;
}

/** Hears what the engine does; must be quick and must not throw. Counters and histograms live behind it. */
export interface EngineObserver {
  onAccepted(): void;
  /** `reason` is a RefusalReason or, where there is none, an error code. */
  onRefused(reason: string): void;
  onFirstToken(ttftMs: number): void;
  /** Gaps between tokens that arrived with one step, one per running choice. */
  onTokenGaps(gapsMs: readonly number[]): void;
  onStep(times: StepTimes, stats: SchedulerStats): void;
  onPreempted(): void;
  onFinished(request: FinishedRequest): void;
  onEngineRestart(): void;
  onThreads(numThreads: number): void;
}
