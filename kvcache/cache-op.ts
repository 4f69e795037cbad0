/** Dense small integer naming one sequence inside the KV memory (llama_seq_id). */
export type SeqId = number;

/**
 * Work on KV memory, to be applied in order before the batches of the same plan.
 * Half-open ranges: share tags [0, numTokens) of `from` with `to`; trim drops [fromPosition, end) of `seqId`.
 */
export type CacheOp =
  | { readonly kind: "share"; readonly from: SeqId; readonly to: SeqId; readonly numTokens: number }
  | { readonly kind: "trim"; readonly seqId: SeqId; readonly fromPosition: number };
