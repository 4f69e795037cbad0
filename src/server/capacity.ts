import type { ModelInfo } from "../../models/model-info.ts";
import type { EngineSnapshot } from "../engine/engine-snapshot.ts";
import type { QueueState } from "../engine/generation.ts";

const FIRST_CONTEXT = 1024;

export interface CapacityFacts {
  readonly model: ModelInfo;
  readonly snapshot: EngineSnapshot;
  readonly queue: QueueState;
}

/** How many users fit at which context: from the pool, and from how much of it is shared now. */
export function capacityReport({ model, snapshot, queue }: CapacityFacts) {
  const { kvPool, maxModelLen, maxNumSeqs } = model;
  const sharing = sharingFactor(snapshot);
  return {
    model: model.id,
    max_model_len: maxModelLen,
    max_num_seqs: maxNumSeqs,
    layout: model.kvLayout,
    layout_reason: model.kvLayoutReason,
    deterministic: model.isDeterministic,
    itl_target_ms: round(snapshot.targetItlMs),
    kv: {
      block_size: kvPool.blockSize,
      num_blocks: kvPool.numBlocks,
      size_bytes: kvPool.sizeBytes,
      blocks: snapshot.blocks,
      sharing: round(sharing),
    },
    contexts: contextLengths(maxModelLen).map((tokens) => {
      const users = usersOf(tokens, model, 1);
      return { tokens, users, users_with_sharing: usersOf(tokens, model, sharing) };
    }),
    running: snapshot.running.length,
    queue: {
      requests: queue.numSequences,
      tokens: queue.numTokens,
      oldest_ms: round(queue.oldestMs),
      predicted_wait_ms: round(queue.predictedWaitMs),
    },
  };
}

/** 1k, 2k, 4k … up to the longest that the server takes, which comes last. */
function contextLengths(maxModelLen: number): number[] {
  const lengths: number[] = [];
  for (let length = FIRST_CONTEXT; length < maxModelLen; length *= 2) lengths.push(length);
  return [...lengths, maxModelLen];
}

/** Users at the same time, each with a context of so many tokens in blocks of their own. */
function usersOf(numTokens: number, { kvPool, maxNumSeqs }: ModelInfo, sharing: number): number {
  const numBlocks = Math.ceil(numTokens / kvPool.blockSize);
  return Math.min(maxNumSeqs, Math.floor((kvPool.numBlocks * sharing) / numBlocks));
}

/** Blocks in the tables of running sequences for each block that holds them; 1 when nothing is shared. */
function sharingFactor({ running, blocks }: EngineSnapshot): number {
  const numBlocks = running.reduce((sum, sequence) => sum + sequence.numBlocks, 0);
  return blocks.used === 0 ? 1 : Math.max(1, numBlocks / blocks.used);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
