import type { KvLayout } from "../scheduler/contracts.ts";

export type Backend = "cpu" | "cuda" | "vulkan" | "metal";

/** What the memory of a model allows; found at load. Without `canTrim` a sequence can only be dropped whole. */
export interface MemoryCapabilities {
  /** Positions can be removed from the end of a sequence. */
  readonly canTrim: boolean;
  /** A prefix can be shared by tagging cells. */
  readonly canShare: boolean;
  readonly hasSlidingWindow: boolean;
  readonly isRecurrent: boolean;
  readonly isCausal: boolean;
}

/** The KV pool as it was allocated. */
export interface KvPoolInfo {
  readonly blockSize: number;
  readonly numBlocks: number;
  readonly bytesPerToken: number;
  readonly sizeBytes: number;
  readonly cacheTypeK: string;
  readonly cacheTypeV: string;
}

/** Facts of a loaded model, as the engine reports them once at start. Plain JSON. */
export interface ModelInfo {
  /** Served name. */
  readonly id: string;
  readonly architecture: string;
  readonly description: string;
  readonly numParameters: number;
  readonly sizeBytes: number;
  readonly vocabSize: number;
  readonly embeddingLength: number;
  readonly trainedContextLength: number;
  /** Longest prompt plus output of one sequence, in tokens. */
  readonly maxModelLen: number;
  readonly maxNumSeqs: number;
  /** Most tokens of one model call. */
  readonly maxNumBatchedTokens: number;
  readonly backend: Backend;
  readonly deviceNames: readonly string[];
  readonly libraryVersion: string;
  readonly numThreads: number;
  readonly flashAttention: boolean;
  readonly kvLayout: KvLayout;
  /** Why this layout, in words for the operator. */
  readonly kvLayoutReason: string;
  /** A request's tokens depend on nothing but the request, the model and the build. */
  readonly isDeterministic: boolean;
  readonly capabilities: MemoryCapabilities;
  readonly kvPool: KvPoolInfo;
  readonly eogTokenIds: readonly number[];
}
