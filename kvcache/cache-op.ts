/** Dense small integer naming one sequence inside the KV memory (llama_seq_id). */
export type SeqId = number;

/** Names one copy in host memory; never used twice. */
export type HostSlot = number;

/**
 * Work on KV memory, to be applied in order before the batches of the same plan. Ranges are half-open:
 *
 *   share     gives `to`, which is empty, [0, numTokens) of `from`: by a tag on its cells, in streams by a copy
 *   trim      drops [fromPosition, end) of `seqId`
 *   save      copies [fromPosition, toPosition) of `seqId` to a new host slot; the sequence keeps what it has
 *   restore   copies that range from a host slot, which may hold more, to the end of `seqId`, which lacks exactly it;
 *             needs free cells for all that the slot holds, for a moment
 *   discard   forgets a host slot
 *
 * In streams only whole sequences are copied, and from their start on: `save` has the range of all of it, and a slot
 * takes the place of what the receiver has. `numCopiedTokens` is then all that the slot, or the sequence to share, holds.
 */
export type CacheOp =
  | {
      readonly kind: "share";
      readonly from: SeqId;
      readonly to: SeqId;
      readonly numTokens: number;
      readonly numCopiedTokens?: number;
    }
  | { readonly kind: "trim"; readonly seqId: SeqId; readonly fromPosition: number }
  | ({ readonly kind: "save" } & HostCopyRange)
  | ({ readonly kind: "restore"; readonly numCopiedTokens?: number } & HostCopyRange)
  | { readonly kind: "discard"; readonly slot: HostSlot };

export interface HostCopyRange {
  readonly slot: HostSlot;
  readonly seqId: SeqId;
  readonly fromPosition: number;
  readonly toPosition: number;
}

/** Copies, and tokens of them all. */
export interface CopyCount {
  readonly numCopies: number;
  readonly numTokens: number;
}

/** All that operations copy to and from host memory. Asked several times a step, so it allocates nothing on the way. */
export function countCopies(operations: readonly CacheOp[]): CopyCount {
  let numCopies = 0;
  let numTokens = 0;
  for (const operation of operations) {
    const length = copiedLength(operation);
    if (length === 0) continue;
    // What is shared by copying goes there and back.
    const numTimes = operation.kind === "share" ? 2 : 1;
    numCopies += numTimes;
    numTokens += numTimes * length;
  }
  return { numCopies, numTokens };
}

/** Tags and trims copy nothing. */
function copiedLength(operation: CacheOp): number {
  switch (operation.kind) {
    case "save":
      return operation.toPosition - operation.fromPosition;
    case "restore":
      return operation.numCopiedTokens ?? operation.toPosition - operation.fromPosition;
    case "share":
      return operation.numCopiedTokens ?? 0;
    case "trim":
    case "discard":
      return 0;
  }
}
