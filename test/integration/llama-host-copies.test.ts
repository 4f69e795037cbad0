import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Batch, CacheOp } from "../../scheduler/contracts.ts";
import { loadRunner } from "../../models/llama/load-runner.ts";
import { Vocabulary } from "../../models/llama/vocabulary.ts";
import { demoModelPath, testRunnerOptions } from "../support/demo-model.ts";
import { ForcedSequence } from "../support/forced-sequence.ts";

/** How far a logprob may move with the place of its cells, in nat: see docs/numerics.md. */
const BOUND_NAT = process.env["HEADWAY_TEST_MODEL"] === undefined ? 0.15 : 0.8;
const modelPath = process.env["HEADWAY_TEST_MODEL"] ?? demoModelPath();

const { runner } = loadRunner(testRunnerOptions(modelPath));
const vocabulary = Vocabulary.load(modelPath);
after(() => {
  runner.close();
  vocabulary.close();
});

const tokenize = (text: string): number[] =>
  vocabulary.tokenize(text, { addSpecial: true, parseSpecial: false });
const prompt = tokenize("Once upon a time there was a small house by the sea. ".repeat(6)).slice(0, 60);
const forced = tokenize("The children played in the garden until it was dark.").slice(1, 11);

function step(kind: Batch["kind"], sequence: ForcedSequence): void {
  const row = sequence.row();
  const { samples } = runner.execute({ kind, rows: [row], numTokens: row.numTokens });
  for (const sample of samples) sequence.take(sample);
}

function finish(sequence: ForcedSequence): readonly number[] {
  while (!sequence.isDone) step("decode", sequence);
  return sequence.samples.map(({ logprob }) => logprob!);
}

function requireClose(actual: readonly number[], expected: readonly number[]): void {
  assert.equal(actual.length, expected.length);
  for (const [index, logprob] of actual.entries()) {
    assert.ok(
      Math.abs(logprob - expected[index]!) <= BOUND_NAT,
      `token ${index}: ${logprob} ${expected[index]}`,
    );
  }
}

const save = (slot: number, seqId: number, fromPosition: number, toPosition: number): CacheOp => ({
  kind: "save",
  slot,
  seqId,
  fromPosition,
  toPosition,
});
const restore = (slot: number, seqId: number, fromPosition: number, toPosition: number): CacheOp => ({
  kind: "restore",
  slot,
  seqId,
  fromPosition,
  toPosition,
});
/** What is in a slot now. */
function bytesOf(slot: number): Uint8Array {
  const copy = runner.holdHostCopy(slot)!;
  const bytes = Uint8Array.from(copy.bytes);
  copy.free();
  return bytes;
}

const drop = (seqId: number): CacheOp => ({ kind: "trim", seqId, fromPosition: 0 });

const undisturbed = (() => {
  const sequence = new ForcedSequence(0, prompt, forced);
  step("prefill", sequence);
  const logprobs = finish(sequence);
  runner.apply([drop(0)]);
  return logprobs;
})();

test("a sequence parked in host memory in two pieces resumes under another id as if nothing had happened", () => {
  const sequence = new ForcedSequence(3, prompt, forced);
  step("prefill", sequence);
  for (let count = 0; count < 4; count += 1) step("decode", sequence);
  runner.apply([save(0, 3, 0, 32), save(1, 3, 32, 48), drop(3)]);
  // Somebody else uses the cells meanwhile.
  const other = new ForcedSequence(4, prompt.toReversed(), forced);
  step("prefill", other);
  runner.apply([drop(4), restore(0, 200, 0, 32), restore(1, 200, 32, 48)]);
  const resumed = new ForcedSequence(200, prompt, forced, 48);
  for (const sample of sequence.samples) resumed.take(sample);
  step("prefill", resumed);
  requireClose(finish(resumed), undisturbed);
  runner.apply([drop(200), { kind: "discard", slot: 0 }, { kind: "discard", slot: 1 }]);
});

test("what is restored is what was saved, to the byte", () => {
  const sequence = new ForcedSequence(0, prompt, forced);
  step("prefill", sequence);
  runner.apply([save(0, 0, 16, 48)]);
  const saved = bytesOf(0);
  runner.apply([{ kind: "trim", seqId: 0, fromPosition: 16 }, restore(0, 0, 16, 48), save(1, 0, 16, 48)]);
  assert.ok(saved.length > 32 * runner.info.kvPool.bytesPerToken);
  assert.deepEqual(bytesOf(1), saved);
  runner.apply([drop(0), { kind: "discard", slot: 0 }, { kind: "discard", slot: 1 }]);
});

test("a part of a copy can be restored, after a prefix that is shared", () => {
  const donor = new ForcedSequence(0, prompt, forced);
  step("prefill", donor);
  runner.apply([save(0, 0, 0, 48), { kind: "trim", seqId: 0, fromPosition: 16 }]);
  runner.apply([{ kind: "share", from: 0, to: 1, numTokens: 16 }, drop(0), restore(0, 1, 16, 32)]);
  const heir = new ForcedSequence(1, prompt, forced, 32);
  step("prefill", heir);
  requireClose(finish(heir), undisturbed);
  runner.apply([drop(1), { kind: "discard", slot: 0 }]);
});

test("a copy that somebody holds outlives its slot, and its memory is used again only then", () => {
  const sequence = new ForcedSequence(0, prompt, forced);
  step("prefill", sequence);
  runner.apply([save(0, 0, 0, 32)]);
  const held = runner.holdHostCopy(0)!;
  const saved = Uint8Array.from(held.bytes);
  runner.apply([{ kind: "discard", slot: 0 }, save(1, 0, 16, 48)]);
  assert.deepEqual(Uint8Array.from(held.bytes), saved);
  const { address } = held;
  held.free();
  runner.apply([save(2, 0, 0, 32)]);
  const next = runner.holdHostCopy(2)!;
  assert.equal(next.address, address);
  next.free();
  assert.equal(runner.holdHostCopy(0), null);
  runner.apply([drop(0), { kind: "discard", slot: 1 }, { kind: "discard", slot: 2 }]);
});

test("an empty slot is an error that says so", () => {
  assert.throws(() => runner.apply([restore(7, 0, 0, 16)]), { name: "ModelRunnerError", message: /slot 7/ });
});
