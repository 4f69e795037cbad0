import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { keyedUniform, philox2x32 } from "../../models/sampling/keyed-random.ts";

test("Philox2x32-10 gives the known answers of its authors (Random123, kat_vectors)", () => {
  assert.deepEqual(philox2x32(0, 0, 0), [0xff1dae59, 0x6cd10df2]);
  assert.deepEqual(philox2x32(0xffffffff, 0xffffffff, 0xffffffff), [0x2c3f628b, 0xab4fd7ad]);
  assert.deepEqual(philox2x32(0x243f6a88, 0x85a308d3, 0x13198a2e), [0xdd7ce038, 0xf62a4c12]);
});

test("a draw is in [0, 1) and depends on seed, choice and position only", () => {
  const anyUint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
  fc.assert(
    fc.property(anyUint32, fc.nat(127), fc.nat(1_000_000), (seed, choiceIndex, position) => {
      const value = keyedUniform(seed, choiceIndex, position);
      assert.ok(value >= 0 && value < 1);
      assert.equal(keyedUniform(seed, choiceIndex, position), value);
      assert.notEqual(keyedUniform(seed, choiceIndex, position + 1), value);
      assert.notEqual(keyedUniform(seed, choiceIndex + 1, position), value);
      assert.notEqual(keyedUniform((seed + 1) % 2 ** 32, choiceIndex, position), value);
    }),
  );
});

test("draws of neighbouring positions, choices and seeds are uniform", () => {
  const numBins = 64;
  const numDraws = 64_000;
  const axes: ((index: number) => number)[] = [
    (index) => keyedUniform(7, 0, index),
    (index) => keyedUniform(7, index, 100),
    (index) => keyedUniform(index, 0, 100),
  ];
  for (const draw of axes) {
    const bins = Array.from({ length: numBins }, () => 0);
    for (let index = 0; index < numDraws; index += 1) bins[Math.floor(draw(index) * numBins)]! += 1;
    const expected = numDraws / numBins;
    const chiSquare = bins.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    // 63 degrees of freedom: 113.5 is passed once in 10,000 draws of a fair generator.
    assert.ok(chiSquare < 113.5, `chi-square ${chiSquare}`);
  }
});
