import type {
  Batch,
  BatchResult,
  BatchRow,
  CacheOp,
  PromptLogprobs,
  Sample,
  TokenLogprob,
} from "../scheduler/contracts.ts";
import { FakeKvMemory, mix } from "./fake-kv-memory.ts";
import {
  FAKE_CONTINUATIONS,
  FAKE_EOG_TOKEN_ID,
  FAKE_PIECES,
  FIRST_DRAWN_TOKEN_ID,
} from "./fake-vocabulary.ts";
import type { KvPoolInfo, ModelInfo } from "./model-info.ts";
import { type ModelRunner, ModelRunnerError } from "./model-runner.ts";

/** llama.cpp's LLAMA_MAX_SEQ. */
const NUM_SEQ_IDS = 256;

export interface FakeModelRunnerOptions {
  readonly info?: ModelInfo;
  readonly numSeqIds?: number;
  /** Changes every token drawn. */
  readonly seed?: number;
  /** A token in this many is the end token; Infinity for none. */
  readonly meanTokensToEog?: number;
  /**
   * Entries depend on whether they were computed alone or with others of their sequence, as those of a real model do
   * in their last bits.
   */
  readonly isSensitive?: boolean;
  /** Called with each batch before it is computed: let it pass time, or throw to make the model fail. */
  readonly onExecute?: (batch: Batch, numUsedCells: number) => void;
}

/**
 * A model that is only arithmetic. The next token is a pure function of the tokens before it, of the seed and,
 * where the request asks for randomness, of its own seed and choice: the same whatever the batching, chunking,
 * sharing or preemption. It reads tokens from its simulated KV memory, so that a wrong cache operation
 * either throws or shows in the output.
 */
export class FakeModelRunner implements ModelRunner {
  readonly info: ModelInfo;
  readonly memory: FakeKvMemory;
  readonly #seed: number;
  readonly #isSensitive: boolean;
  readonly #meanTokensToEog: number;
  readonly #onExecute: (batch: Batch, numUsedCells: number) => void;

  constructor(options: FakeModelRunnerOptions = {}) {
    this.info = options.info ?? createFakeModelInfo();
    const { numBlocks, blockSize } = this.info.kvPool;
    this.memory = new FakeKvMemory({
      numCells: numBlocks * blockSize,
      numSeqIds: options.numSeqIds ?? NUM_SEQ_IDS,
      layout: this.info.kvLayout,
    });
    this.#isSensitive = options.isSensitive ?? false;
    this.#seed = options.seed ?? 0;
    this.#meanTokensToEog = options.meanTokensToEog ?? 64;
    this.#onExecute = options.onExecute ?? (() => {});
  }

  apply(operations: readonly CacheOp[]): void {
    for (const operation of operations) this.memory.apply(operation);
  }

  execute(batch: Batch): BatchResult {
    this.#onExecute(batch, this.memory.numUsedCells);
    checkBatch(batch, this.info.maxNumBatchedTokens);
    const samples: Sample[] = [];
    const promptLogprobs: PromptLogprobs[] = [];
    for (const row of batch.rows) {
      const states = this.#computeRow(row);
      if (row.logits === "all") promptLogprobs.push(this.#scorePrompt(row, states));
      if (row.sample) samples.push(this.#draw(row, states.at(-1)!));
    }
    return { samples, promptLogprobs };
  }

  numUsedCells(): number {
    return this.memory.numUsedCells;
  }

  close(): void {
    // Nothing to free.
  }

  /** Returns the state after each token of the row. */
  #computeRow({ sequence, start, numTokens }: BatchRow): number[] {
    const salt = this.#isSensitive && numTokens === 1 ? 1 : 0;
    return sequence.tokens
      .slice(start, start + numTokens)
      .map((tokenId, offset) => this.memory.append(sequence.seqId, start + offset, tokenId, salt));
  }

  #draw({ sequence }: BatchRow, state: number): Sample {
    const { requestId, tokens, numPromptTokens, sampling } = sequence;
    const isRandom = sampling.temperature > 0;
    const salt = isRandom ? mix(sampling.seed + Math.imul(sampling.choiceIndex + 1, 0x9e3779b1)) : 0;
    const forbidsEog = tokens.length - numPromptTokens < sampling.minTokens;
    const tokenId = this.#nextToken({ state: mix(state ^ salt), lastTokenId: tokens.at(-1)!, forbidsEog });
    if (sampling.topLogprobs === null) return { requestId, tokenId, logprob: null, topLogprobs: [] };
    const logprob = logprobAt(state, 0);
    return {
      requestId,
      tokenId,
      logprob,
      topLogprobs: this.#alternatives(tokenId, state, sampling.topLogprobs),
    };
  }

  #nextToken(context: {
    readonly state: number;
    readonly lastTokenId: number;
    readonly forbidsEog: boolean;
  }): number {
    const continuation = FAKE_CONTINUATIONS.get(context.lastTokenId);
    if (continuation !== undefined) return continuation;
    const bits = mix(context.state ^ this.#seed);
    if (!context.forbidsEog && bits < 2 ** 32 / this.#meanTokensToEog) return FAKE_EOG_TOKEN_ID;
    const drawn = FIRST_DRAWN_TOKEN_ID + (mix(bits) % (FAKE_PIECES.length - FIRST_DRAWN_TOKEN_ID));
    return isSecondHalf(drawn) ? drawn - 1 : drawn;
  }

  /** The token itself and its neighbours in the vocabulary, ever less likely. */
  #alternatives(tokenId: number, state: number, count: number): TokenLogprob[] {
    return Array.from({ length: count }, (_, rank) => ({
      tokenId: (tokenId + rank) % this.info.vocabSize,
      logprob: logprobAt(state, rank),
    }));
  }

  /** Logprobs of the prompt tokens that the row's positions tell about. */
  #scorePrompt({ sequence, start, numTokens }: BatchRow, states: readonly number[]): PromptLogprobs {
    const end = Math.min(start + numTokens + 1, sequence.numPromptTokens);
    const entries = sequence.tokens.slice(start + 1, end).map((tokenId, offset) => ({
      token: { tokenId, logprob: logprobAt(states[offset]!, 0) },
      top: this.#alternatives(tokenId, states[offset]!, sequence.sampling.promptLogprobs ?? 0),
    }));
    return { requestId: sequence.requestId, start: start + 1, entries };
  }
}

/** What a runner may rely on. */
function checkBatch({ kind, rows, numTokens }: Batch, maxNumBatchedTokens: number): void {
  const sum = rows.reduce((total, row) => total + row.numTokens, 0);
  if (sum !== numTokens || sum === 0)
    throw new ModelRunnerError("a batch's numTokens is not the sum of its rows");
  if (sum > maxNumBatchedTokens)
    throw new ModelRunnerError(`a batch of ${sum} tokens; ${maxNumBatchedTokens} are possible`);
  for (const [index, row] of rows.entries()) {
    const isAscending = index === 0 || rows[index - 1]!.sequence.seqId < row.sequence.seqId;
    if (!isAscending) throw new ModelRunnerError("rows do not ascend by sequence id");
    if (row.numTokens < 1 || row.start + row.numTokens > row.sequence.tokens.length) {
      throw new ModelRunnerError("a row reaches beyond its tokens");
    }
    if (kind === "decode" && row.numTokens !== 1) throw new ModelRunnerError("a decode row has one token");
  }
}

function isSecondHalf(tokenId: number): boolean {
  return FAKE_CONTINUATIONS.get(tokenId - 1) === tokenId;
}

/** In (-1, 0] for the best, one less for each rank. */
function logprobAt(state: number, rank: number): number {
  return -(state % 1000) / 1000 - rank;
}

export type FakeModelInfoOverrides = Partial<Omit<ModelInfo, "kvPool">> & {
  readonly kvPool?: Partial<KvPoolInfo>;
};

/** Facts of the fake model, with overrides. */
export function createFakeModelInfo(overrides: FakeModelInfoOverrides = {}): ModelInfo {
  const { kvPool, ...rest } = overrides;
  return {
    id: "fake",
    architecture: "fake",
    description: "deterministic arithmetic in place of a model",
    numParameters: 0,
    sizeBytes: 0,
    vocabSize: FAKE_PIECES.length,
    embeddingLength: 1,
    trainedContextLength: 4096,
    maxModelLen: 2048,
    maxNumSeqs: 16,
    maxNumBatchedTokens: 512,
    backend: "cpu",
    deviceNames: ["fake"],
    libraryVersion: "0",
    numThreads: 1,
    flashAttention: false,
    kvLayout: "paged",
    kvLayoutReason: "as asked",
    isDeterministic: false,
    capabilities: {
      canTrim: true,
      canShare: true,
      hasSlidingWindow: false,
      isRecurrent: false,
      isCausal: true,
    },
    kvPool: {
      blockSize: 16,
      numBlocks: 512,
      bytesPerToken: 1,
      sizeBytes: 8192,
      cacheTypeK: "f16",
      cacheTypeV: "f16",
      ...kvPool,
    },
    eogTokenIds: [FAKE_EOG_TOKEN_ID],
    ...rest,
  };
}
