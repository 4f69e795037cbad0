import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type CallPart, type CallRules, composeCalls } from "../../models/llama/compose-calls.ts";
import type { Batch, BatchRow, LogitsWanted } from "../../scheduler/contracts.ts";
import { sequenceView } from "../support/sampling-builders.ts";

const PAGED: CallRules = {
  maxDecodeRows: 4,
  maxTokens: 32,
  maxOutputs: 8,
  onePromptPerCall: false,
  maxPadding: 0,
  rowMultiple: 1,
  numSeqIds: 255,
};
const STREAMS: CallRules = {
  ...PAGED,
  maxDecodeRows: 32,
  onePromptPerCall: true,
  maxPadding: 2,
  numSeqIds: 16,
};
const DETERMINISTIC: CallRules = { ...STREAMS, maxPadding: 16, rowMultiple: 4 };

function rowOf(seqId: number, start: number, numTokens: number, logits: LogitsWanted = "last"): BatchRow {
  const tokens = Array.from({ length: start + numTokens }, () => 1);
  return { sequence: sequenceView({ seqId, tokens }), start, numTokens, logits, sample: logits === "last" };
}

function decode(...seqIds: number[]): Batch {
  const rows = seqIds.map((seqId) => rowOf(seqId, 5, 1));
  return { kind: "decode", rows, numTokens: rows.length };
}

function prefill(...rows: BatchRow[]): Batch {
  return { kind: "prefill", rows, numTokens: rows.reduce((sum, row) => sum + row.numTokens, 0) };
}

/** "3+16" is 16 tokens of sequence 3, "(4)" padding with sequence 4. */
function show(part: CallPart): string {
  return "row" in part ? `${part.row.sequence.seqId}+${part.numTokens}` : `(${part.paddingSeqId})`;
}

function calls(batch: Batch, rules: CallRules): string[] {
  return [...composeCalls(batch, rules)].map((call) => call.map(show).join(" "));
}

describe("decode calls", () => {
  it("are cut at the most rows, wherever the ids are, in the paged layout", () => {
    assert.deepEqual(calls(decode(0, 3, 9, 40, 41), PAGED), ["0+1 3+1 9+1 40+1", "41+1"]);
  });

  it("bridge a small gap of ids with padding, and not a wide one, in streams", () => {
    assert.deepEqual(calls(decode(0, 1, 4, 5), STREAMS), ["0+1 1+1 (2) (3) 4+1 5+1"]);
    assert.deepEqual(calls(decode(0, 1, 5, 6), STREAMS), ["0+1 1+1", "5+1 6+1"]);
  });

  it("have a multiple of rows in the deterministic mode, with neighbours on either side", () => {
    assert.deepEqual(calls(decode(0), DETERMINISTIC), ["0+1 (1) (2) (3)"]);
    assert.deepEqual(calls(decode(2, 12), DETERMINISTIC), [
      "2+1 (3) (4) (5) (6) (7) (8) (9) (10) (11) 12+1 (13)",
    ]);
    assert.deepEqual(calls(decode(15), DETERMINISTIC), ["(12) (13) (14) 15+1"]);
  });
});

describe("prefill calls", () => {
  it("hold several prompts in the paged layout and one in streams", () => {
    const batch = prefill(rowOf(1, 0, 5), rowOf(7, 0, 6));
    assert.deepEqual(calls(batch, PAGED), ["1+5 7+6"]);
    assert.deepEqual(calls(batch, STREAMS), ["1+5", "7+6"]);
  });

  it("are cut where rows of logits run out, never to leave a single token", () => {
    assert.deepEqual(calls(prefill(rowOf(0, 0, 20, "all")), PAGED), ["0+8", "0+8", "0+4"]);
    assert.deepEqual(calls(prefill(rowOf(0, 0, 17, "all")), PAGED), ["0+8", "0+4", "0+5"]);
  });

  it("fill up a prompt of one token like a decoding row", () => {
    assert.deepEqual(calls(prefill(rowOf(5, 0, 1)), DETERMINISTIC), ["5+1 (6) (7) (8)"]);
    assert.deepEqual(calls(prefill(rowOf(5, 0, 2)), DETERMINISTIC), ["5+2"]);
  });
});

const rowsOf = fc
  .uniqueArray(fc.nat(15), { minLength: 1, maxLength: 10 })
  .chain((seqIds) =>
    fc.tuple(
      ...seqIds
        .toSorted((left, right) => left - right)
        .map((seqId) =>
          fc
            .tuple(
              fc.nat(9),
              fc.integer({ min: 1, max: 90 }),
              fc.constantFrom<LogitsWanted>("none", "last", "all"),
            )
            .map(([start, numTokens, logits]) => rowOf(seqId, start, numTokens, logits)),
        ),
    ),
  );

for (const [name, rules] of Object.entries({ PAGED, STREAMS, DETERMINISTIC })) {
  it(`${name}: every token once and in order, within all bounds, ids of a call ascending`, () => {
    const property = fc.property(rowsOf, fc.boolean(), (rows, decodes) => {
      const cut = decodes ? rows.map((row) => rowOf(row.sequence.seqId, row.start, 1)) : rows;
      const batch: Batch = { ...prefill(...cut), kind: decodes ? "decode" : "prefill" };
      const next = new Map(cut.map((row) => [row, row.start]));
      for (const call of composeCalls(batch, rules)) checkCall(call, rules, next);
      for (const [row, end] of next) assert.equal(end, row.start + row.numTokens);
    });
    fc.assert(property, { numRuns: 500, seed: 1 });
  });
}

function checkCall(call: readonly CallPart[], rules: CallRules, next: Map<BatchRow, number>): void {
  let numTokens = 0;
  let numOutputs = 0;
  let lastId = -1;
  for (const part of call) {
    const id = "row" in part ? part.row.sequence.seqId : part.paddingSeqId;
    assert.ok(id > lastId && id < rules.numSeqIds);
    lastId = id;
    numTokens += "row" in part ? part.numTokens : 1;
    if (!("row" in part)) continue;
    const { row, start } = part;
    assert.equal(start, next.get(row));
    next.set(row, start + part.numTokens);
    const isEnd = start + part.numTokens === row.start + row.numTokens;
    numOutputs += row.logits === "all" ? part.numTokens : Number(isEnd && row.logits === "last");
  }
  assert.ok(call.length > 0 && numTokens <= rules.maxTokens + rules.numSeqIds);
  assert.ok(call.every((part) => "paddingSeqId" in part || part.numTokens <= rules.maxTokens));
  if (!call.some((part) => "row" in part && part.numTokens > 1)) {
    assert.equal(call.length % rules.rowMultiple, 0);
  } else assert.ok(numOutputs <= rules.maxOutputs);
}
