import type { FinishReason, PinnedPrefix, PinRequest, TokenLogprob } from "../../scheduler/contracts.ts";
import type { SamplingParams } from "../../scheduler/sampling-params.ts";
import type { ModelInfo } from "../../models/model-info.ts";
import type { SchedulerStats } from "../../scheduler/contracts.ts";
import type { Prediction } from "../../scheduler/queue-model.ts";
import type { EngineSnapshot } from "./engine-snapshot.ts";

/** One prompt, tokenized. */
export interface Prompt {
  readonly tokenIds: readonly number[];
  /** What is to be kept of it. */
  readonly pins?: readonly PinRequest[];
}

/** A client's request after parsing: everything is checked, defaulted and tokenized. */
export interface GenerationRequest {
  readonly requestId: string;
  /** p prompts times n choices; choice index = promptIndex * n + i. */
  readonly prompts: readonly Prompt[];
  readonly numChoices: number;
  readonly sampling: Omit<SamplingParams, "choiceIndex">;
  readonly maxTokens: number;
  readonly stopStrings: readonly string[];
  readonly includeStopString: boolean;
  /** The output goes on with the prompt's text, whose last word it may end. */
  readonly continuesText?: boolean;
  readonly priority: number;
  /** Who shares the machine with others; see VirtualTokenCounters. */
  readonly tenantId: string;
  readonly cacheSalt: string;
  readonly targets?: LatencyTargets;
}

/** What a client has promised its own users, in milliseconds from now. */
export interface LatencyTargets {
  /** Until the first token. */
  readonly ttftMs?: number;
  /** Mean gap between tokens. */
  readonly tpotMs?: number;
  /** Until the last token. */
  readonly totalMs?: number;
}

/** Where a request stands that has not started. */
export interface QueuePlace {
  /** 1 is next. */
  readonly position: number;
  /** Until its first token, as far as can be told now. */
  readonly etaMs: number;
}

/** A token as clients see it: its text may be "" while a character is incomplete; bytes are exact. */
export interface DeliveredToken {
  readonly tokenId: number;
  readonly bytes: Uint8Array;
  readonly logprob: number | null;
  readonly topLogprobs: readonly TokenLogprob[];
}

/** News of one choice. `text` is whole characters, never a part of a stop string. Several tokens may arrive in one. */
export interface GenerationDelta {
  readonly choiceIndex: number;
  readonly text: string;
  readonly tokens: readonly DeliveredToken[];
}

export interface ChoiceEnd {
  readonly choiceIndex: number;
  readonly finishReason: FinishReason;
  /** The stop string or stop token that ended the choice. */
  readonly stopReason: string | number | null;
  readonly numGeneratedTokens: number;
}

export interface PromptProgress {
  readonly promptIndex: number;
  readonly numPromptTokens: number;
  readonly numCachedTokens: number;
  readonly numComputedTokens: number;
}

/** Totals of a finished generation; times on the monotonic clock, milliseconds. */
export interface GenerationSummary {
  readonly numPromptTokens: number;
  readonly numCachedTokens: number;
  readonly numGeneratedTokens: number;
  readonly queueMs: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
  readonly ttftMs: number | null;
  readonly e2eMs: number;
}

/** Where a generation's news goes. Called synchronously, at most once per step and choice; must not throw. */
export interface GenerationSink {
  /** While the generation waits, about once a second; never for a sink that does not have it. */
  readonly onQueued?: (place: QueuePlace) => void;
  onProgress?(progress: PromptProgress): void;
  onPromptLogprobs?(promptIndex: number, entries: readonly PromptTokenLogprob[]): void;
  onDelta(delta: GenerationDelta): void;
  onChoiceEnd(end: ChoiceEnd): void;
  /** Every choice has ended. Exactly one of onEnd and onError is called, once, last. */
  onEnd(summary: GenerationSummary): void;
  onError(error: GenerationError): void;
}

export interface PromptTokenLogprob {
  readonly token: TokenLogprob;
  readonly top: readonly TokenLogprob[];
}

/** Why a generation was refused or broke off; the API layer maps `code` to a status. */
export type GenerationErrorCode =
  | "overloaded"
  | "rate_limit_exceeded"
  | "deadline_exceeded"
  | "model_loading"
  | "shutting_down"
  | "engine_unavailable"
  | "context_length_exceeded"
  | "internal_error";

/** Which bound a refused request would have crossed. */
export type RefusalReason =
  | "queue_requests"
  | "queue_tokens"
  | "predicted_wait"
  | "tenant_queue"
  | "deadline";

export class GenerationError extends Error {
  override readonly name = "GenerationError";
  readonly code: GenerationErrorCode;
  /** Set when trying again later may help. */
  readonly retryAfterMs: number | null;
  readonly reason: RefusalReason | null;

  constructor(
    code: GenerationErrorCode,
    message: string,
    retryAfterMs: number | null = null,
    reason: RefusalReason | null = null,
  ) {
    super(message);
    this.code = code;
    this.retryAfterMs = retryAfterMs;
    this.reason = reason;
  }
}

/** A running generation. */
export interface Generation {
  readonly requestId: string;
  /** Frees its sequences within one step; the sink hears no more. Harmless after the end. */
  abort(): void;
  /** Back-pressure: while paused no rows are computed for it. */
  pause(): void;
  resume(): void;
}

export type EngineState = "loading" | "ready" | "restarting" | "failed" | "draining" | "stopped";

/** A request as admission and predictions see it: it may be one that is never made. */
export interface ProspectiveRequest {
  readonly tenantId: string;
  readonly priority: number;
  readonly numSequences: number;
  /** Those to be computed for all sequences. */
  readonly numPromptTokens: number;
  readonly maxTokens: number;
  /** Of its longest prompt alone. */
  readonly longestPrompt?: number;
  readonly targets?: LatencyTargets;
}

/** What would become of a request now. */
export interface Forecast extends Prediction {
  /** Sequences that go first. */
  readonly numAhead: number;
}

/** What waits for its first row. */
export interface QueueState {
  readonly numSequences: number;
  readonly numTokens: number;
  readonly oldestMs: number;
  /** Until a request starts that lets all others go first. */
  readonly predictedWaitMs: number;
}

/** What the API layers know of an engine. */
export interface Engine {
  readonly state: EngineState;
  /** Present from the first `ready` on, kept over restarts. */
  readonly model: ModelInfo | null;
  readonly numRestarts: number;
  /** Monotonic time since a step last finished while work waits; 0 when idle. */
  lastStepAgeMs(): number;
  stats(): SchedulerStats;
  queue(): QueueState;
  forecast(request: ProspectiveRequest): Forecast;
  /** What `generate` would throw for want of room or time; null when such a request would be admitted now. */
  refusalOf(request: ProspectiveRequest): GenerationError | null;
  /** Asks the engine process; rejects with GenerationError when there is none. */
  snapshot(): Promise<EngineSnapshot>;
  /** Throws GenerationError when refused: nothing was queued then. */
  generate(request: GenerationRequest, sink: GenerationSink): Generation;
  /** Ends the pin of a prefix, but not those of others on it. */
  unpin(prefix: PinnedPrefix): void;
  /** Calls back whenever another engine process is up: what the last one had pinned is gone, but for what the disk has. */
  onRestart(listener: () => void): void;
  /** Refuses new work, lets running work finish until the deadline, aborts the rest, ends the process. */
  close(graceMs: number): Promise<void>;
}
