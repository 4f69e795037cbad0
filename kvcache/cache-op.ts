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
 *
 * In streams a slot holds the whole of a sequence from its start on, whatever the range says, and takes its place.
 *
 *   discard   forgets a host slot
 */
export type CacheOp =
  | { readonly kind: "share"; readonly from: SeqId; readonly to: SeqId; readonly numTokens: number }
  | { readonly kind: "trim"; readonly seqId: SeqId; readonly fromPosition: number }
  | ({ readonly kind: "save" } & HostCopyRange)
  | ({ readonly kind: "restore" } & HostCopyRange)
  | { readonly kind: "discard"; readonly slot: HostSlot };

export interface HostCopyRange {
  readonly slot: HostSlot;
  readonly seqId: SeqId;
  readonly fromPosition: number;
  readonly toPosition: number;
}
