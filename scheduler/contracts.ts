import type { BlockCounts } from "../kvcache/block-pool.ts";
import type { CacheOp, HostCopyRange, HostSlot, SeqId } from "../kvcache/cache-op.ts";
import type { HostBlockCounts } from "../kvcache/host-tier.ts";
import type { KvLayout } from "../kvcache/kv-cache-options.ts";
import type { PinOwner } from "../kvcache/pins.ts";
import type { SamplingParams } from "./sampling-params.ts";

export type { BlockCounts, CacheOp, HostBlockCounts, HostCopyRange, HostSlot, KvLayout, SeqId };

/** One token stream to run. A client request with n choices becomes n of these, which share the prompt's blocks. */
export interface SequenceRequest {
  readonly requestId: string;
  /** At least one token. After an engine crash: the prompt followed by the tokens already produced. */
  readonly tokens: readonly number[];
  /** How many trailing entries of `tokens` were generated (and delivered) by an earlier engine. */
  readonly numReplayedTokens: number;
  readonly sampling: SamplingParams;
  /** Bound on generated tokens, replayed ones included. 0 evaluates the prompt only. */
  readonly maxTokens: number;
  /** Lower runs earlier; 0 is normal. Beyond -100 and 100 all are the same. */
  readonly priority: number;
  /** Whose share of the machine this takes. */
  readonly tenantId: string;
  /** From now on, in milliseconds: decides on the order of one tenant's requests. What expires is not dropped here. */
  readonly firstTokenWithinMs?: number;
  /** The gap between its tokens should not be longer, in milliseconds. */
  readonly tokenGapMs?: number;
  /** Sequences share cached prefixes only inside one salt. */
  readonly cacheSalt: string;
  readonly pins?: readonly PinRequest[];
}

/** Keeps the first `numTokens` tokens cached for that long after the end of the last request that asks for it. */
export interface PinRequest {
  readonly numTokens: number;
  readonly ttlMs: number;
  /** Who may give it up; without one nobody can. */
  readonly owner?: PinOwner;
}

/** A prefix as its owner pinned it. */
export interface PinnedPrefix {
  readonly tokens: readonly number[];
  readonly cacheSalt: string;
  readonly owner: PinOwner;
}

export type FinishReason = "stop" | "length" | "abort" | "error";

export type SequenceStatus = "waiting" | "running" | "preempted" | "finished";

/** What the runner and the cache may see of a running sequence. `tokens` grows as tokens are sampled. */
export interface SequenceView {
  readonly requestId: string;
  readonly seqId: SeqId;
  /** Prompt and generated tokens, in position order. */
  readonly tokens: readonly number[];
  /** Prompt length without replayed tokens: index of the first generated token. */
  readonly numPromptTokens: number;
  readonly sampling: SamplingParams;
}

/** Which positions of a row need logits: none, only its last, or all (prompt logprobs). */
export type LogitsWanted = "none" | "last" | "all";

/** Tokens [start, start + numTokens) of one sequence. */
export interface BatchRow {
  readonly sequence: SequenceView;
  readonly start: number;
  readonly numTokens: number;
  readonly logits: LogitsWanted;
  /** True when the row reaches the sequence's last token, so that a next token is drawn. */
  readonly sample: boolean;
}

/** One call of the model. Rows ascend by seqId, which keeps llama.cpp from reordering outputs. */
export interface Batch {
  readonly kind: "decode" | "prefill";
  readonly rows: readonly BatchRow[];
  readonly numTokens: number;
}

/** A scheduler's decision for one step: cache operations, then at most one decode and one prefill batch, decode first. */
export interface StepPlan {
  readonly stepIndex: number;
  readonly cacheOps: readonly CacheOp[];
  readonly batches: readonly Batch[];
}

export interface TokenLogprob {
  readonly tokenId: number;
  readonly logprob: number;
}

/** A drawn token. `logprob` and `topLogprobs` (descending) are present when the sequence asked for them. */
export interface Sample {
  readonly requestId: string;
  readonly tokenId: number;
  readonly logprob: number | null;
  readonly topLogprobs: readonly TokenLogprob[];
}

/** Logprobs of prompt tokens [start, start + entries.length), each given the tokens before it. */
export interface PromptLogprobs {
  readonly requestId: string;
  readonly start: number;
  readonly entries: readonly { readonly token: TokenLogprob; readonly top: readonly TokenLogprob[] }[];
}

/** Outcome of one batch, samples in row order. */
export interface BatchResult {
  readonly samples: readonly Sample[];
  readonly promptLogprobs: readonly PromptLogprobs[];
}

/** What a step did to a request, in order. A request gets exactly one `finished`, and nothing after it. */
export type SequenceEvent =
  | { readonly kind: "scheduled"; readonly requestId: string; readonly numCachedTokens: number }
  | { readonly kind: "progress"; readonly requestId: string; readonly numComputedTokens: number }
  | { readonly kind: "promptLogprobs"; readonly promptLogprobs: PromptLogprobs }
  | { readonly kind: "token"; readonly sample: Sample }
  | { readonly kind: "preempted"; readonly requestId: string }
  | { readonly kind: "finished"; readonly requestId: string; readonly reason: FinishReason };

/** The numbers behind gauges and /health; counters only grow. */
export interface SchedulerStats {
  readonly numRunning: number;
  readonly numWaiting: number;
  readonly numWaitingTokens: number;
  readonly blocks: BlockCounts;
  readonly hostBlocks: HostBlockCounts;
  /** In files, those included that host memory has too. */
  readonly numDiskBlocks: number;
  readonly numPreemptions: number;
  /** Preemptions whose blocks move to host memory when they must leave the pool; the others are computed again. */
  readonly numParks: number;
  readonly numPromptTokensComputed: number;
  readonly numPromptTokensCached: number;
  readonly numPrefixQueryTokens: number;
  readonly numPrefixHitTokens: number;
  /** Those of them that came back from host memory. */
  readonly numHostHitTokens: number;
  /** Those of them that the disk had, and host memory did not. */
  readonly numDiskHitTokens: number;
  readonly numGeneratedTokens: number;
}
