import type { PrefixKey } from "../kvcache/prefix-cache.ts";
import type { FinishReason, SequenceRequest, SequenceStatus, SequenceView, SeqId } from "./contracts.ts";
import type { SamplingParams } from "./sampling-params.ts";

/**
 * One token stream and how far it has come. There is no prefill or decode state:
 * `numComputedTokens` chases `tokens.length`, and a row that reaches the end draws the next token.
 */
export class Sequence implements SequenceView, PrefixKey {
  readonly requestId: string;
  readonly tokens: number[];
  readonly numPromptTokens: number;
  readonly sampling: SamplingParams;
  readonly cacheSalt: string;
  /** Total order of who goes first; see urgency.ts. */
  readonly urgency: number;
  readonly arrivalIndex: number;
  /** Prompt and output together; reaching it ends the sequence with "length". */
  readonly maxNumTokens: number;

  status: SequenceStatus = "waiting";
  isPaused = false;
  /** Valid while running and, after an abort in the midst of a step, for the rows of that step. */
  seqId: SeqId = -1;
  numComputedTokens = 0;
  /** Prompt tokens that the first admission found cached; null before. */
  numCachedTokens: number | null = null;
  /** The client has been told that the sequence runs. */
  isAnnounced = false;
  /** Prompt tokens [1, here) have had their logprobs reported. */
  numReportedPromptTokens = 1;

  constructor(
    request: SequenceRequest,
    order: { readonly urgency: number; readonly arrivalIndex: number },
    maxModelLen: number,
  ) {
    this.requestId = request.requestId;
    this.tokens = [...request.tokens];
    this.numPromptTokens = request.tokens.length - request.numReplayedTokens;
    this.sampling = request.sampling;
    this.cacheSalt = request.cacheSalt;
    this.urgency = order.urgency;
    this.arrivalIndex = order.arrivalIndex;
    this.maxNumTokens = Math.min(this.numPromptTokens + request.maxTokens, maxModelLen);
  }

  get numUncomputedTokens(): number {
    return this.tokens.length - this.numComputedTokens;
  }

  get isRunnable(): boolean {
    return this.status === "running" && !this.isPaused;
  }

  /** False for a sequence that is only evaluated: its end is known without drawing a token. */
  get wantsToken(): boolean {
    return this.tokens.length < this.maxNumTokens;
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
