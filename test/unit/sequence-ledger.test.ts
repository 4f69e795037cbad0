import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ActiveGeneration } from "../../src/engine/active-generation.ts";
import { createChoices } from "../../src/engine/create-choices.ts";
import { SequenceLedger } from "../../src/engine/sequence-ledger.ts";
import { createAssembler, createGenerationRequest, pieceOf } from "../support/engine-builders.ts";

const NONE = { numSequences: 0, numTokens: 0 };

/** With one sequence of three tokens, "a". */
function createLedger(): SequenceLedger {
  const ledger = new SequenceLedger(() => {});
  const request = createGenerationRequest();
  const choices = createChoices(request, {
    nextSequenceId: () => "a",
    createAssembler: () => createAssembler(),
    pieceOf,
    firstTokenWithinMs: null,
  });
  const generation = { request, choices, acceptedAtMs: 0, isPaused: false } as unknown as ActiveGeneration;
  ledger.add(choices[0]!, generation, 3);
  return ledger;
}

describe("SequenceLedger", () => {
  it("counts one that is paused neither as waiting nor as running, until it is resumed", () => {
    const ledger = createLedger();
    assert.deepEqual(ledger.waiting.totals, { numSequences: 1, numTokens: 3 });
    ledger.notePaused("a", 10);
    assert.deepEqual([ledger.waiting.totals, [...ledger.queued()]], [NONE, []]);
    ledger.noteResumed("a", 20);
    assert.deepEqual(ledger.waiting.totals, { numSequences: 1, numTokens: 3 });
    ledger.noteStarted("a", 30);
    ledger.notePaused("a", 50);
    assert.deepEqual(ledger.runAgesMs(90), []);
    ledger.noteResumed("a", 100);
    assert.deepEqual([ledger.runAgesMs(105), ledger.waiting.totals], [[25], NONE]);
  });

  it("remembers of one that is paused that it has lost its rows", () => {
    for (const isPausedFirst of [true, false]) {
      const ledger = createLedger();
      ledger.noteStarted("a", 0);
      if (isPausedFirst) ledger.notePaused("a", 10);
      ledger.noteInterrupted("a");
      if (!isPausedFirst) ledger.notePaused("a", 10);
      assert.deepEqual(ledger.interrupted.totals, NONE);
      ledger.noteResumed("a", 20);
      assert.equal(ledger.interrupted.totals.numSequences, 1);
      ledger.noteStarted("a", 30);
      assert.deepEqual(ledger.interrupted.totals, NONE);
    }
  });

  it("forgets all of one that has gone", () => {
    for (const change of ["notePaused", "noteStarted"] as const) {
      const ledger = createLedger();
      ledger[change]("a", 1);
      ledger.noteInterrupted("a");
      ledger.remove("a", false);
      ledger.noteResumed("a", 2);
      const left = [ledger.waiting.totals, ledger.interrupted.totals, ledger.runAgesMs(9), ledger.size];
      assert.deepEqual(left, [NONE, NONE, [], 0]);
    }
  });
});
