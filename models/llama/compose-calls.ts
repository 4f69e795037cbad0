import type { Batch, BatchRow } from "../../scheduler/contracts.ts";

/** What a library call may look like; docs/layouts.md tells why. */
export interface CallRules {
  /** Most tokens of a decode call; of any other. */
  readonly maxDecodeRows: number;
  readonly maxTokens: number;
  /** Most rows of logits. */
  readonly maxOutputs: number;
  /** Prompts do not share a call: the library would cut them to pieces of equal length. */
  readonly onePromptPerCall: boolean;
  /** Ids missing between two decoding sequences that are filled with padding rather than by another call; 0 for none. */
  readonly maxPadding: number;
  /**
   * Single tokens are filled up with padding to a multiple of this, for kernels that treat groups of rows and what is
   * left over differently; 1 for none. Padding then also asks for logits, since the last layer sees only such rows.
   */
  readonly rowMultiple: number;
  /** Sequence ids from 0 on that padding may use. */
  readonly numSeqIds: number;
}

/** The largest multiple that kernels need; prompts are cut at multiples of it. */
export const MAX_ROW_MULTIPLE = 4;

/** Consecutive tokens of a batch row, or one token that only makes a sequence take part: it is dropped afterwards. */
export type CallPart =
  | { readonly row: BatchRow; readonly start: number; readonly numTokens: number }
  | { readonly paddingSeqId: number };

/** Cuts a batch into library calls, in order. */
export function* composeCalls(batch: Batch, rules: CallRules): Iterable<readonly CallPart[]> {
  if (batch.kind === "decode") yield* decodeCalls(batch.rows, rules);
  else yield* prefillCalls(batch.rows, rules);
}

function* decodeCalls(rows: readonly BatchRow[], rules: CallRules): Iterable<readonly CallPart[]> {
  let call: CallPart[] = [];
  let lastSeqId = -1;
  for (const row of rows) {
    const { seqId } = row.sequence;
    const numMissing = call.length === 0 ? 0 : seqId - lastSeqId - 1;
    // Where padding is never used, ids need not be consecutive.
    const isTooFar = rules.maxPadding > 0 && numMissing > rules.maxPadding;
    if (call.length >= rules.maxDecodeRows || isTooFar) {
      yield filledUp(call, rules);
      call = [];
    } else if (rules.maxPadding > 0) {
      for (let id = lastSeqId + 1; call.length > 0 && id < seqId; id += 1) call.push({ paddingSeqId: id });
    }
    call.push({ row, start: row.start, numTokens: 1 });
    lastSeqId = seqId;
  }
  if (call.length > 0) yield filledUp(call, rules);
}

function* prefillCalls(rows: readonly BatchRow[], rules: CallRules): Iterable<readonly CallPart[]> {
  let call: CallPart[] = [];
  let room = { numTokens: rules.maxTokens, numOutputs: rules.maxOutputs };
  for (const row of rows) {
    const end = row.start + row.numTokens;
    for (let start = row.start; start < end;) {
      const numTokens = pieceLength(row, end - start, room);
      if (numTokens > 0) call.push({ row, start, numTokens });
      start += numTokens;
      const numOutputs = row.logits === "all" ? numTokens : Number(start === end && row.logits === "last");
      room = { numTokens: room.numTokens - numTokens, numOutputs: room.numOutputs - numOutputs };
      if (start < end || rules.onePromptPerCall) {
        yield filledUp(call, rules);
        call = [];
        room = { numTokens: rules.maxTokens, numOutputs: rules.maxOutputs };
      }
    }
  }
  if (call.length > 0) yield filledUp(call, rules);
}

interface Room {
  readonly numTokens: number;
  readonly numOutputs: number;
}

/** As much of what is left as fits; never so that a single token remains for a call of its own. */
function pieceLength(row: BatchRow, numLeft: number, room: Room): number {
  const limit = row.logits === "all" ? Math.min(room.numTokens, room.numOutputs) : room.numTokens;
  const fits = Math.min(numLeft, limit);
  if (row.logits === "last" && fits === numLeft && room.numOutputs === 0) return 0;
  return numLeft - fits === 1 && fits > MAX_ROW_MULTIPLE ? fits - MAX_ROW_MULTIPLE : fits;
}

/** With ids next to those of the call, which must be consecutive. A call with a longer piece of a prompt stays as it is. */
function filledUp(call: readonly CallPart[], { rowMultiple, numSeqIds }: CallRules): readonly CallPart[] {
  if (call.some((part) => "row" in part && part.numTokens > 1)) return call;
  const parts = [...call];
  while (parts.length % rowMultiple !== 0) {
    const next = seqIdOf(parts.at(-1)!) + 1;
    if (next < numSeqIds) parts.push({ paddingSeqId: next });
    else parts.unshift({ paddingSeqId: seqIdOf(parts[0]!) - 1 });
  }
  return parts;
}

function seqIdOf(part: CallPart): number {
  return "row" in part ? part.row.sequence.seqId : part.paddingSeqId;
}
