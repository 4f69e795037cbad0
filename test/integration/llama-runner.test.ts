import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Batch, BatchRow, Sample } from "../../scheduler/contracts.ts";
import { loadRunner } from "../../models/llama/load-runner.ts";
import { Vocabulary } from "../../models/llama/vocabulary.ts";
import { demoModelPath, testRunnerOptions } from "../support/demo-model.ts";
import { ForcedSequence } from "../support/forced-sequence.ts";
import { sequenceView } from "../support/sampling-builders.ts";

/**
 * How far the logprob of a token may move with its batch, in nat (docs/numerics.md): quantized weights make llama.cpp
 * round activations to 8 bits, which turns any difference in the order of a sum into one of this size.
 */
const BOUND_NAT = process.env["HEADWAY_TEST_MODEL"] === undefined ? 0.15 : 0.8;
const modelPath = process.env["HEADWAY_TEST_MODEL"] ?? demoModelPath();

const { runner } = loadRunner(testRunnerOptions(modelPath));
const vocabulary = Vocabulary.load(modelPath);
after(() => {
  runner.close();
  vocabulary.close();
});

const SUBJECTS = [
  "the sea",
  "a red house",
  "my dog",
  "the number seven",
  "Tom and Anna",
  "rain",
  "a long road",
  "tea",
];
const STARTS = [
  "Tell me a story about",
  "Question: what is",
  "Once upon a time there was",
  "I would like to know more of",
];
const prompts = STARTS.flatMap((start) => SUBJECTS.map((subject) => `${start} ${subject}.`)).map((text) =>
  vocabulary.tokenize(text, { addSpecial: true, parseSpecial: false }),
);
const NUM_FORCED = 8;

function batchOf(kind: Batch["kind"], rows: readonly BatchRow[]): Batch {
  const ascending = [...rows].sort((a, b) => a.sequence.seqId - b.sequence.seqId);
  return { kind, rows: ascending, numTokens: rows.reduce((sum, row) => sum + row.numTokens, 0) };
}

function step(kind: Batch["kind"], sequences: readonly ForcedSequence[], maxTokens?: number): void {
  if (sequences.length === 0) return;
  const byId = new Map(sequences.map((sequence) => [sequence.view.requestId, sequence]));
  const { samples } = runner.execute(
    batchOf(
      kind,
      sequences.map((sequence) => sequence.row(maxTokens)),
    ),
  );
  for (const sample of samples) byId.get(sample.requestId)!.take(sample);
}

const drop = (seqId: number): void => runner.apply([{ kind: "trim", seqId, fromPosition: 0 }]);

function runAlone(prompt: readonly number[], forced: readonly number[]): Sample[] {
  const sequence = new ForcedSequence(0, prompt, forced);
  step("prefill", [sequence]);
  while (!sequence.isDone) step("decode", [sequence]);
  drop(0);
  return sequence.samples;
}

/** What the model says by itself: greedy tokens of each prompt, alone. */
const forcedTokens = prompts.map((prompt) => {
  const view = sequenceView({ tokens: [...prompt] });
  for (let start = 0; view.tokens.length < prompt.length + NUM_FORCED;) {
    const numTokens = view.tokens.length - start;
    const row: BatchRow = { sequence: view, start, numTokens, logits: "last", sample: true };
    const { samples } = runner.execute(batchOf(start === 0 ? "prefill" : "decode", [row]));
    start = view.tokens.length;
    view.tokens.push(samples[0]!.tokenId);
  }
  drop(0);
  return view.tokens.slice(prompt.length);
});
const alone = prompts.map((prompt, index) => runAlone(prompt, forcedTokens[index]!));

/** Same tokens, logprobs within the bound, and the same best token wherever the two best are further apart than it. */
function requireSame(actual: readonly Sample[], expected: readonly Sample[], what: string): void {
  assert.equal(actual.length, expected.length);
  for (const [index, sample] of actual.entries()) {
    const reference = expected[index]!;
    assert.equal(sample.tokenId, reference.tokenId);
    const distance = Math.abs(sample.logprob! - reference.logprob!);
    assert.ok(distance <= BOUND_NAT, `${what}, token ${index}: moved by ${distance}`);
    const [best, second] = reference.topLogprobs;
    if (best!.logprob - second!.logprob > 2 * BOUND_NAT) {
      assert.equal(
        sample.topLogprobs[0]!.tokenId,
        best!.tokenId,
        `${what}, token ${index}: another best token`,
      );
    }
  }
}

test("each of 32 prompts gets in a changing batch the logprobs that it gets alone", () => {
  const waiting = prompts.map((prompt, index) => new ForcedSequence(index, prompt, forcedTokens[index]!));
  const all = [...waiting];
  let running: ForcedSequence[] = [];
  while (waiting.length > 0 || running.length > 0) {
    step("decode", running);
    for (const sequence of running.filter(({ isDone }) => isDone)) drop(sequence.view.seqId);
    running = running.filter(({ isDone }) => !isDone);
    const joining = waiting.splice(0, 3);
    step("prefill", joining);
    running.push(...joining);
  }
  for (const [index, sequence] of all.entries())
    requireSame(sequence.samples, alone[index]!, `prompt ${index}`);
});

test("a prompt computed in chunks ends like one computed at once", () => {
  for (const [index, prompt] of prompts.slice(0, 8).entries()) {
    const sequence = new ForcedSequence(0, prompt, forcedTokens[index]!);
    while (!sequence.isPrefilled) step("prefill", [sequence], 3);
    while (!sequence.isDone) step("decode", [sequence]);
    requireSame(sequence.samples, alone[index]!, `prompt ${index}`);
    drop(0);
  }
});

test("a shared prefix serves as well as a computed one, while its donor runs and after it is gone", () => {
  for (const [index, prompt] of prompts.slice(0, 8).entries()) {
    const numShared = prompt.length - 2;
    const donor = new ForcedSequence(3, prompt, forcedTokens[index]!);
    step("prefill", [donor]);
    runner.apply([{ kind: "share", from: 3, to: 200, numTokens: numShared }]);
    const heir = new ForcedSequence(200, prompt, forcedTokens[index]!, numShared);
    step("prefill", [heir]);
    step("decode", [donor, heir]);
    drop(3);
    while (!heir.isDone) step("decode", [heir]);
    requireSame(heir.samples, alone[index]!, `prompt ${index}`);
    drop(200);
  }
});

test("a trimmed and recomputed sequence goes on as before; a preempted one resumes", () => {
  for (const [index, prompt] of prompts.slice(0, 8).entries()) {
    const sequence = new ForcedSequence(0, prompt, forcedTokens[index]!);
    step("prefill", [sequence]);
    step("decode", [sequence]);
    runner.apply([{ kind: "trim", seqId: 0, fromPosition: prompt.length - 1 }]);
    sequence.rewind(prompt.length - 1);
    step("prefill", [sequence]);
    drop(0);
    sequence.rewind();
    step("prefill", [sequence]);
    while (!sequence.isDone) step("decode", [sequence]);
    requireSame(sequence.samples, alone[index]!, `prompt ${index}`);
    drop(0);
  }
});

test("prompt logprobs rate every prompt token but the first, also over several calls", () => {
  const text = "The sun was warm and the children played in the garden. ".repeat(12);
  const tokens = vocabulary.tokenize(text, { addSpecial: true, parseSpecial: false }).slice(0, 150);
  const score = (chunk: number): number[] => {
    const view = sequenceView({ tokens, sampling: { promptLogprobs: 2 } });
    const logprobs: number[] = [];
    for (let start = 0; start < tokens.length; start += chunk) {
      const numTokens = Math.min(chunk, tokens.length - start);
      const row: BatchRow = { sequence: view, start, numTokens, logits: "all", sample: false };
      for (const part of runner.execute(batchOf("prefill", [row])).promptLogprobs) {
        assert.equal(part.start, logprobs.length + 1);
        for (const { token, top } of part.entries) {
          assert.equal(token.tokenId, tokens[logprobs.length + 1]);
          assert.equal(top.length, 2);
          assert.ok(top[0]!.logprob >= top[1]!.logprob && top[0]!.logprob >= token.logprob);
          logprobs.push(token.logprob);
        }
      }
    }
    drop(0);
    return logprobs;
  };
  const whole = score(tokens.length);
  assert.equal(whole.length, tokens.length - 1);
  for (const [index, logprob] of score(40).entries()) {
    assert.ok(Math.abs(logprob - whole[index]!) <= BOUND_NAT, `token ${index + 1}`);
  }
});

test("decoding more rows than one call takes gives each its own token", () => {
  const prompt = prompts[0]!;
  runner.execute(
    batchOf("prefill", [
      {
        sequence: sequenceView({ tokens: prompt }),
        start: 0,
        numTokens: prompt.length,
        logits: "none",
        sample: false,
      },
    ]),
  );
  const rows = Array.from({ length: 70 }, (_, index): BatchRow => {
    const seqId = index + 1;
    runner.apply([{ kind: "share", from: 0, to: seqId, numTokens: prompt.length }]);
    const sequence = sequenceView({ requestId: `r${seqId}`, seqId, tokens: [...prompt, 300 + (index % 7)] });
    return { sequence, start: prompt.length, numTokens: 1, logits: "last", sample: true };
  });
  const { samples } = runner.execute(batchOf("decode", rows));
  assert.deepEqual(
    samples.map(({ requestId }) => requestId),
    rows.map(({ sequence }) => sequence.requestId),
  );
  for (const { sequence } of rows) drop(sequence.seqId);
  drop(0);
});

test("the library's refusal becomes an error, and the runner still works after it", () => {
  const view = sequenceView({ tokens: [1, 2, 3] });
  const gap: BatchRow = { sequence: view, start: 2, numTokens: 1, logits: "last", sample: true };
  runner.execute(batchOf("decode", [{ ...gap, start: 0 }]));
  assert.throws(() => runner.execute(batchOf("decode", [gap])), {
    name: "ModelRunnerError",
    message: /batch was invalid/,
  });
  drop(0);
  requireSame(runAlone(prompts[1]!, forcedTokens[1]!), alone[1]!, "prompt 1");
});
