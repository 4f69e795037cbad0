import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { loadRunner } from "../../models/llama/load-runner.ts";
import { Vocabulary } from "../../models/llama/vocabulary.ts";
import type { LlamaModelRunner } from "../../models/llama/runner.ts";
import type { Batch } from "../../scheduler/contracts.ts";
import { findNondeterminism } from "../../src/engine/check-determinism.ts";
import { demoModelPath, testRunnerOptions } from "../support/demo-model.ts";
import { ForcedSequence } from "../support/forced-sequence.ts";

/** How far a logprob may move with its batch, in nat: see docs/numerics.md. */
const BOUND_NAT = process.env["HEADWAY_TEST_MODEL"] === undefined ? 0.15 : 0.8;
const modelPath = process.env["HEADWAY_TEST_MODEL"] ?? demoModelPath();
const options = { ...testRunnerOptions(modelPath), kvLayout: "streams", maxNumSeqs: 8 } as const;

function load(isDeterministic: boolean): LlamaModelRunner {
  const { runner } = loadRunner({ ...options, isDeterministic });
  after(() => runner.close());
  return runner;
}

const vocabulary = Vocabulary.load(modelPath);
after(() => vocabulary.close());
const tokenize = (text: string): number[] =>
  vocabulary.tokenize(text, { addSpecial: true, parseSpecial: false });
const forced = tokenize("The children played in the garden until it was dark.").slice(1, 11);
const prompts = Array.from({ length: 8 }, (_, index) =>
  tokenize(`Story ${index}. ${"Once upon a time there was a small house by the sea. ".repeat(1 + index)}`),
);

function step(runner: LlamaModelRunner, kind: Batch["kind"], sequences: readonly ForcedSequence[]): void {
  const byId = new Map(sequences.map((sequence) => [sequence.view.requestId, sequence]));
  const rows = sequences
    .map((sequence) => sequence.row())
    .toSorted((left, right) => left.sequence.seqId - right.sequence.seqId);
  const numTokens = rows.reduce((sum, row) => sum + row.numTokens, 0);
  for (const sample of runner.execute({ kind, rows, numTokens }).samples) {
    byId.get(sample.requestId)!.take(sample);
  }
}

function logprobs({ samples }: ForcedSequence): number[] {
  return samples.map(({ logprob }) => logprob!);
}

const drop = (runner: LlamaModelRunner, seqId: number): void =>
  runner.apply([{ kind: "trim", seqId, fromPosition: 0 }]);

function runAlone(runner: LlamaModelRunner, prompt: readonly number[], seqId = 0): number[] {
  const sequence = new ForcedSequence(seqId, prompt, forced);
  step(runner, "prefill", [sequence]);
  while (!sequence.isDone) step(runner, "decode", [sequence]);
  drop(runner, seqId);
  return logprobs(sequence);
}

function farthest(actual: readonly number[], expected: readonly number[]): number {
  assert.equal(actual.length, expected.length);
  return Math.max(...actual.map((value, index) => Math.abs(value - expected[index]!)));
}

for (const isDeterministic of [false, true]) {
  // The mode promises equal bits; without it the last ones depend on the company.
  const bound = isDeterministic ? 0 : BOUND_NAT;

  describe(isDeterministic ? "the deterministic mode" : "the streams layout", () => {
    const runner = load(isDeterministic);
    const alone = prompts.map((prompt) => runAlone(runner, prompt));

    it("gives a sequence in a changing batch with holes what it gets alone", () => {
      const all = prompts.map((prompt, index) => new ForcedSequence(index, prompt, forced));
      const waiting = [...all];
      let running: ForcedSequence[] = [];
      for (let turn = 0; waiting.length > 0 || running.length > 0; turn += 1) {
        // A paused sequence leaves a hole in the middle, in which padding goes.
        const active = running.filter((_, index) => running.length < 3 || index !== turn % running.length);
        if (active.length > 0) step(runner, "decode", active);
        for (const sequence of running.filter(({ isDone }) => isDone)) drop(runner, sequence.view.seqId);
        running = running.filter(({ isDone }) => !isDone);
        const joining = waiting.splice(0, 2);
        if (joining.length > 0) step(runner, "prefill", joining);
        running.push(...joining);
      }
      for (const [index, sequence] of all.entries()) {
        const distance = farthest(logprobs(sequence), alone[index]!);
        assert.ok(distance <= bound, `prompt ${index} moved by ${distance}`);
      }
    });

    it("shares a prefix by copying it, which leaves the donor as it is", () => {
      const prompt = prompts[7]!;
      const numShared = prompt.length - 4;
      const donor = new ForcedSequence(2, prompt, forced);
      step(runner, "prefill", [donor]);
      runner.apply([{ kind: "share", from: 2, to: 6, numTokens: numShared }]);
      const heir = new ForcedSequence(6, prompt, forced, numShared);
      step(runner, "prefill", [heir]);
      while (!donor.isDone) step(runner, "decode", [donor, heir]);
      for (const seqId of [2, 6]) drop(runner, seqId);
      assert.ok(farthest(logprobs(donor), alone[7]!) <= bound);
      assert.ok(farthest(logprobs(heir), alone[7]!) <= bound);
    });

    it("parks a sequence in host memory, and takes a part of the copy for another one", () => {
      const prompt = prompts[7]!;
      const numKept = prompt.length - 5;
      const sequence = new ForcedSequence(1, prompt, forced);
      step(runner, "prefill", [sequence]);
      const range = { slot: 0, fromPosition: 0 };
      runner.apply([{ kind: "save", ...range, seqId: 1, toPosition: prompt.length }]);
      drop(runner, 1);
      runner.apply([{ kind: "restore", ...range, seqId: 4, toPosition: numKept }]);
      const resumed = new ForcedSequence(4, prompt, forced, numKept);
      step(runner, "prefill", [resumed]);
      while (!resumed.isDone) step(runner, "decode", [resumed]);
      drop(runner, 4);
      runner.apply([{ kind: "discard", slot: 0 }]);
      assert.ok(farthest(logprobs(resumed), alone[7]!) <= bound);
    });
  });
}

describe("the check of determinism", () => {
  it("passes in the mode that is made for it, and not in others", () => {
    assert.equal(findNondeterminism(load(true)), null);
    assert.notEqual(findNondeterminism(load(false)), null);
  });
});
