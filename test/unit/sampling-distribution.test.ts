import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MassTable } from "../../models/sampling/mass-table.ts";
import { Sampler } from "../../models/sampling/sampler.ts";
import { referenceDistribution } from "../support/reference-sampler.ts";
import { randomLogits, sequenceView } from "../support/sampling-builders.ts";

const VOCAB_SIZE = 300;

const anyCuts = fc.record({
  temperature: fc.constantFrom(0.2, 0.7, 1, 1.5, 3),
  minP: fc.constantFrom(0, 0.001, 0.02, 0.1, 0.5, 1),
  topP: fc.constantFrom(0.05, 0.3, 0.7, 0.9, 0.95, 0.999, 1),
});

function tableDistribution(logits: Float32Array, cuts: { temperature: number; minP: number; topP: number }) {
  const table = new MassTable(logits.length);
  assert.ok(table.build(logits, cuts.temperature));
  if (cuts.minP > 0) table.cutMinP(cuts.minP);
  if (cuts.topP < 1) table.cutTopP(cuts.topP);
  return table.probabilities();
}

test("the mass table keeps the tokens that sorting the whole vocabulary keeps, with the same probabilities", () => {
  fc.assert(
    fc.property(
      anyCuts,
      fc.integer({ min: 1, max: 10_000 }),
      fc.constantFrom(0.01, 1, 5),
      (cuts, seed, scale) => {
        const logits = randomLogits(VOCAB_SIZE, scale, seed);
        const expected = referenceDistribution(logits, { ...cuts, topK: 0 });
        const actual = tableDistribution(logits, cuts);
        for (const [token, probability] of expected) {
          // Tokens 10^-12 times as likely as the best are left out on purpose.
          if (probability > 1e-11) assert.ok(Math.abs((actual.get(token) ?? 0) - probability) < 1e-6);
        }
        for (const token of actual.keys()) assert.ok(expected.has(token), `token ${token} should be cut`);
      },
    ),
    { numRuns: 300 },
  );
});

test("a flat distribution, the worst case for top-p, is cut exactly", () => {
  const logits = new Float32Array(1000).fill(2);
  const kept = tableDistribution(logits, { temperature: 1, minP: 0, topP: 0.25 });
  assert.deepEqual(
    [...kept.keys()],
    Array.from({ length: 250 }, (_, token) => token),
  );
});

test("drawn tokens follow the distribution of the chain (chi-square)", () => {
  const chains = [
    { temperature: 1, minP: 0, topK: 0, topP: 1 },
    { temperature: 0.7, minP: 0, topK: 0, topP: 0.9 },
    { temperature: 1.3, minP: 0.05, topK: 0, topP: 0.95 },
    { temperature: 1, minP: 0.02, topK: 10, topP: 0.9 },
    { temperature: 2, minP: 0, topK: 40, topP: 1 },
  ];
  const logits = randomLogits(64, 2, 3);
  for (const [index, chain] of chains.entries()) {
    const expected = referenceDistribution(logits, chain);
    const counts = drawMany(logits, chain, 20_000);
    for (const token of counts.keys()) assert.ok(expected.has(token), `token ${token} should be cut`);
    const { chiSquare, degrees } = chiSquareOf(expected, counts, 20_000);
    // Mean `degrees`, standard deviation sqrt(2 degrees): five of them are beyond chance.
    assert.ok(chiSquare < degrees + 5 * Math.sqrt(2 * degrees), `chain ${index}: chi-square ${chiSquare}`);
  }
});

function drawMany(logits: Float32Array, sampling: object, numDraws: number): Map<number, number> {
  const sampler = new Sampler({ vocabSize: logits.length, eogTokenIds: [] });
  const counts = new Map<number, number>();
  for (let seed = 0; seed < numDraws; seed += 1) {
    const { tokenId } = sampler.sample(logits, sequenceView({ sampling: { ...sampling, seed } }));
    counts.set(tokenId, (counts.get(tokenId) ?? 0) + 1);
  }
  return counts;
}

/** Tokens expected fewer than five times are pooled. */
function chiSquareOf(expected: Map<number, number>, counts: Map<number, number>, numDraws: number) {
  let chiSquare = 0;
  let degrees = -1;
  let rareExpected = 0;
  let rareCount = 0;
  for (const [token, probability] of expected) {
    const mean = probability * numDraws;
    const count = counts.get(token) ?? 0;
    if (mean < 5) {
      rareExpected += mean;
      rareCount += count;
      continue;
    }
    chiSquare += (count - mean) ** 2 / mean;
    degrees += 1;
  }
  if (rareExpected >= 5) {
    chiSquare += (rareCount - rareExpected) ** 2 / rareExpected;
    degrees += 1;
  }
  return { chiSquare, degrees: Math.max(1, degrees) };
}
