import type { DiskFetch } from "../kvcache/disk-index.ts";
import { REQUESTS, type PrefixPin } from "../kvcache/pins.ts";
import type { PrefixKey } from "../kvcache/prefix-cache.ts";
import type { FinishReason, SequenceRequest, SequenceStatus, SequenceView, SeqId } from "./contracts.ts";
import type { SamplingParams } from "./sampling-params.ts";
import type { SchedulerOptions } from "./scheduler-options.ts";
import { type Contender, dueTime } from "./urgency.ts";
import type { TenantAccount } from "./virtual-token-counters.ts";

/**
 * In the deterministic mode prompts are cut at multiples of this: kernels of quantized weights compute so many rows
 * together, and what is left over with other roundings. Blocks of the cache are multiples of it too.
 */
const PIECE_GRAIN = 4;

/** When a sequence came, and what decides on its turns. */
export interface Arrival {
  readonly arrivalMs: number;
  readonly arrivalIndex: number;
  /** Class of priority; lower goes first. */
  readonly priority: number;
  /** How long a sequence waits for the right to compete in the next better class. */
  readonly priorityAgeingMs: number;
  readonly account: TenantAccount;
}

export type SequenceLimits = Pick<SchedulerOptions, "maxModelLen" | "isDeterministic">;

/**
 * One token stream and how far it has come. There is no prefill or decode state:
 * `numComputedTokens` chases `tokens.length`, and a row that reaches the end draws the next token.
 */
export class Sequence implements SequenceView, PrefixKey, Contender {
  readonly requestId: string;
  readonly tokens: number[];
  readonly numPromptTokens: number;
  readonly sampling: SamplingParams;
  readonly cacheSalt: string;
  readonly priority: number;
  readonly account: TenantAccount;
  readonly arrivalMs: number;
  readonly arrivalIndex: number;
  readonly agedArrivalMs: number;
  readonly #firstTokenWithinMs: number | undefined;
  /** The gap that its client wants, in milliseconds; Infinity for any. */
  readonly tokenGapMs: number;
  readonly pins: readonly PrefixPin[];
  /** Prompt and output together; reaching it ends the sequence with "length". */
  readonly maxNumTokens: number;
  /** Tokens from here on are computed one at a time, and not for others to share; see SchedulerOptions.isDeterministic. */
  readonly decodesFrom: number;

  status: SequenceStatus = "waiting";
  /** Of the arrival until the first admission, of that from then on; see urgency.ts. */
  urgency: number;
  isPaused = false;
  /** Valid while running and, after an abort in the midst of a step, for the rows of that step. */
  seqId: SeqId = -1;
  numComputedTokens = 0;
  /** Prompt tokens that the first admission found cached; null before. */
  numCachedTokens: number | null = null;
  /** What it has asked the disk for since it began to wait; null before its turn. */
  fetch: DiskFetch | null = null;
  /** The client has been told that the sequence runs. */
  isAnnounced = false;
  /** Prompt tokens [1, here) have had their logprobs reported. */
  numReportedPromptTokens = 1;

  constructor(request: SequenceRequest, arrival: Arrival, limits: SequenceLimits) {
    this.requestId = request.requestId;
    this.tokens = [...request.tokens];
    this.numPromptTokens = request.tokens.length - request.numReplayedTokens;
    this.sampling = request.sampling;
    this.cacheSalt = request.cacheSalt;
    this.priority = arrival.priority;
    this.account = arrival.account;
    this.arrivalMs = arrival.arrivalMs;
    this.arrivalIndex = arrival.arrivalIndex;
    this.agedArrivalMs = arrival.arrivalMs + arrival.priority * arrival.priorityAgeingMs;
    this.urgency = this.agedArrivalMs;
    this.#firstTokenWithinMs = request.firstTokenWithinMs;
    this.tokenGapMs = request.tokenGapMs ?? Infinity;
    this.pins = (request.pins ?? []).map((pin) => ({ owner: REQUESTS, ...pin }));
    this.maxNumTokens = Math.min(this.numPromptTokens + request.maxTokens, limits.maxModelLen);
    const numTogether = this.numPromptTokens === 1 ? 0 : this.numPromptTokens;
    this.decodesFrom = limits.isDeterministic === true ? numTogether : Infinity;
  }

  /** Two at least are left to compute together where a single one would be computed otherwise. */
  get maxCachedTokens(): number {
    return this.decodesFrom - 2;
  }

  /** Its next row is a single token in a call with those of others. */
  get isDecoding(): boolean {
    return this.isRunnable && (this.numUncomputedTokens === 1 || this.numComputedTokens >= this.decodesFrom);
  }

  /** Tokens of the next prefill row, at most `budget`, which is 5 or more and where it is even 8. */
  prefillChunk(budget: number): number {
    const numLeft = Math.max(1, Math.min(this.tokens.length, this.decodesFrom) - this.numComputedTokens);
    if (numLeft <= budget || this.decodesFrom === Infinity) return Math.min(budget, numLeft);
    const numAligned = budget - (budget % PIECE_GRAIN);
    return numLeft - numAligned === 1 ? numAligned - PIECE_GRAIN : numAligned;
  }

  get numUncomputedTokens(): number {
    return this.tokens.length - this.numComputedTokens;
  }

  /** Its client has read tokens of it. */
  get isResuming(): boolean {
    return this.tokens.length > this.numPromptTokens;
  }

  get dueMs(): number {
    return dueTime(this.arrivalMs, this.numUncomputedTokens, this.#firstTokenWithinMs);
  }

  get isRunnable(): boolean {
    return this.status === "running" && !this.isPaused;
  }

  /** False for a sequence that is only evaluated: its end is known without drawing a token. */
  get wantsToken(): boolean {
    return this.tokens.length < this.maxNumTokens;
  }

  /** The sequence has its first place among those that run. */
  noteAdmitted(nowMs: number): void {
    this.urgency = nowMs + this.agedArrivalMs - this.arrivalMs;
  }

  get wantsPromptLogprobs(): boolean {
    return this.sampling.promptLogprobs !== null && this.numReportedPromptTokens < this.numPromptTokens;
  }

  /** Why the sequence ends with this token, its newest; null when it goes on. */
  finishReasonAfter(tokenId: number, eogTokenIds: ReadonlySet<number>): FinishReason | null {
    if (eogTokenIds.has(tokenId) && !this.sampling.ignoreEos) return "stop";
    if (this.sampling.stopTokenIds.includes(tokenId)) return "stop";
    return this.wantsToken ? null : "length";
  }
}
