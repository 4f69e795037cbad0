import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Sampler } from "../../models/sampling/sampler.ts";
import { randomLogits, sequenceView } from "../support/sampling-builders.ts";

const EOG = 5;
const sampler = (vocabSize: number): Sampler => new Sampler({ vocabSize, eogTokenIds: [EOG] });
const pick = (logits: Float32Array, sequence: ReturnType<typeof sequenceView>): number =>
  sampler(logits.length).sample(logits, sequence).tokenId;

test("temperature 0 takes the largest logit, the lowest id on a tie", () => {
  assert.equal(pick(Float32Array.of(1, 3, 3, 2), sequenceView()), 1);
});

test("a chain of one candidate is greedy whatever the temperature", () => {
  const logits = randomLogits(100, 3, 1);
  const greedy = pick(logits, sequenceView());
  for (let seed = 0; seed < 50; seed += 1) {
    assert.equal(pick(logits, sequenceView({ sampling: { temperature: 2, topK: 1, seed } })), greedy);
    assert.equal(pick(logits, sequenceView({ sampling: { temperature: 2, topP: 1e-9, seed } })), greedy);
    assert.equal(pick(logits, sequenceView({ sampling: { temperature: 2, minP: 1, seed } })), greedy);
  }
});

test("bias moves a token in and out of reach", () => {
  const logits = Float32Array.of(0, 4, 2, 1);
  assert.equal(pick(logits, sequenceView({ sampling: { logitBias: [[2, 3]] } })), 2);
  assert.equal(pick(logits, sequenceView({ sampling: { logitBias: [[1, -100]] } })), 2);
  assert.equal(pick(logits, sequenceView({ sampling: { logitBias: [[9999, 100]] } })), 1, "no such token");
});

test("repetition counts prompt and output; presence and frequency count the output only", () => {
  const logits = Float32Array.of(0, 2, 1.5, 1);
  const prompt = { tokens: [1, 1, 0], numPromptTokens: 3 };
  assert.equal(pick(logits, sequenceView({ ...prompt, sampling: { repetitionPenalty: 2 } })), 2);
  assert.equal(pick(logits, sequenceView({ ...prompt, sampling: { presencePenalty: 2 } })), 1);
  assert.equal(pick(logits, sequenceView({ ...prompt, sampling: { frequencyPenalty: 2 } })), 1);
  const output = { tokens: [0, 1, 1], numPromptTokens: 1 };
  assert.equal(pick(logits, sequenceView({ ...output, sampling: { presencePenalty: 0.6 } })), 2);
  assert.equal(pick(logits, sequenceView({ ...output, sampling: { frequencyPenalty: 0.2 } })), 1);
  assert.equal(pick(logits, sequenceView({ ...output, sampling: { frequencyPenalty: 0.3 } })), 2);
});

test("repetition penalty makes a negative logit smaller, not larger", () => {
  const logits = Float32Array.of(-1, -1.5);
  assert.equal(pick(logits, sequenceView({ tokens: [0], sampling: { repetitionPenalty: 2 } })), 1);
});

test("end-of-generation and stop tokens are impossible before minTokens, even with a bias", () => {
  const logits = new Float32Array(8);
  logits[EOG] = 9;
  logits[6] = 8;
  logits[2] = 1;
  const sampling = { minTokens: 2, stopTokenIds: [6], logitBias: [[EOG, 100] as const] };
  assert.equal(pick(logits, sequenceView({ tokens: [0, 1], numPromptTokens: 1, sampling })), 2);
  assert.equal(pick(logits, sequenceView({ tokens: [0, 1, 1], numPromptTokens: 1, sampling })), EOG);
});

test("the row of logits is left as it was, and logprobs are the model's own", () => {
  const logits = randomLogits(200, 2, 5);
  const before = logits.slice();
  const sequence = sequenceView({
    tokens: [1, 2, 3, 3],
    numPromptTokens: 2,
    sampling: {
      temperature: 0.5,
      topP: 0.8,
      repetitionPenalty: 1.3,
      presencePenalty: 1,
      logitBias: [[3, 5]],
      minTokens: 9,
      topLogprobs: 4,
    },
  });
  const { tokenId, logprob, topLogprobs } = sampler(200).sample(logits, sequence);
  assert.deepEqual(logits, before);
  const normalizer = Math.log(before.reduce((sum, logit) => sum + Math.exp(logit), 0));
  assert.ok(Math.abs(logprob! - (before[tokenId]! - normalizer)) < 1e-6);
  const best = Array.from(before.keys()).sort((a, b) => before[b]! - before[a]!);
  assert.deepEqual(
    topLogprobs.map((entry) => entry.tokenId),
    best.slice(0, 4),
  );
});

test("no logprobs unless asked for; asked for none beside the token, the token's own", () => {
  const logits = randomLogits(20, 1, 2);
  const silent = sampler(20).sample(logits, sequenceView());
  assert.equal(silent.logprob, null);
  const asked = sampler(20).sample(logits, sequenceView({ sampling: { topLogprobs: 0 } }));
  assert.ok(asked.logprob! < 0);
  assert.deepEqual(asked.topLogprobs, []);
});

test("what was sampled before for others or for the sequence itself changes nothing", () => {
  const anySampling = fc.record({
    temperature: fc.constantFrom(0, 0.8, 1.2),
    topK: fc.constantFrom(0, 5),
    topP: fc.constantFrom(0.9, 1),
    minP: fc.constantFrom(0, 0.05),
    repetitionPenalty: fc.constantFrom(1, 1.2),
    frequencyPenalty: fc.constantFrom(0, 0.5),
    seed: fc.nat(1000),
  });
  const numTokens = 12;
  const row = (position: number): Float32Array => randomLogits(50, 2, 77 + position);
  fc.assert(
    fc.property(anySampling, fc.nat(numTokens - 1), (sampling, replayedAt) => {
      const shared = sampler(50);
      const straight = sequenceView({ tokens: [1, 2], numPromptTokens: 2, sampling });
      const noise = sequenceView({ tokens: [3], sampling: { ...sampling, seed: 9 } });
      for (let step = 0; step < numTokens; step += 1) {
        shared.sample(randomLogits(50, 1, step), noise);
        straight.tokens.push(shared.sample(row(step), straight).tokenId);
      }
      const tokens = straight.tokens.slice(0, 2 + replayedAt);
      const resumed = sequenceView({ tokens, numPromptTokens: 2, sampling });
      const fresh = sampler(50);
      for (let step = replayedAt; step < numTokens; step += 1) {
        resumed.tokens.push(fresh.sample(row(step), resumed).tokenId);
      }
      assert.deepEqual(resumed.tokens, straight.tokens);
    }),
  );
});

test("rows with NaN and infinities still give a token of the vocabulary", () => {
  const rows = [
    Float32Array.of(NaN, 1, 2, NaN),
    Float32Array.of(-Infinity, -Infinity, 3, -Infinity),
    Float32Array.of(NaN, NaN, NaN, NaN),
    Float32Array.of(-Infinity, -Infinity, -Infinity, -Infinity),
    Float32Array.of(0, Infinity, 1, 2),
  ];
  const chains = [
    { temperature: 0 },
    { temperature: 1 },
    { temperature: 1, topK: 2 },
    { temperature: 1, topP: 0.5, minP: 0.1 },
  ];
  for (const row of rows) {
    for (const chain of chains) {
      const token = pick(row, sequenceView({ sampling: { ...chain, topLogprobs: 2 } }));
      assert.ok(Number.isInteger(token) && token >= 0 && token < row.length);
      if (row[2] === 3) assert.equal(token, 2, "only one token is possible");
    }
  }
});

test("extreme temperatures neither overflow nor lose the best token", () => {
  const logits = Float32Array.of(-400, 500, 499, 0);
  assert.equal(pick(logits, sequenceView({ sampling: { temperature: 1e-6 } })), 1);
  const seen = new Set<number>();
  for (let seed = 0; seed < 200; seed += 1) {
    seen.add(pick(logits, sequenceView({ sampling: { temperature: 1e6, seed } })));
  }
  assert.deepEqual(
    [...seen].sort((a, b) => a - b),
    [0, 1, 2, 3],
  );
});
