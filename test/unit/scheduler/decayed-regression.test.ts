import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { DecayedRegression } from "../../../scheduler/decayed-regression.ts";

/** Deterministic noise in [-1, 1]. */
function noise(index: number): number {
  return Math.sin(index * 12.9898) ** 3;
}

function assertClose(actual: number, expected: number, relativeError: number): void {
  assert.ok(
    Math.abs(actual - expected) <= expected * relativeError,
    `${actual} is not within reach of ${expected}`,
  );
}

describe("DecayedRegression", () => {
  test("learns a noisy line", () => {
    const regression = new DecayedRegression(2, 0.98);
    for (let index = 0; index < 200; index += 1) {
      const x = 1 + (index % 16);
      regression.observe([1, x], (10 + 2 * x) * (1 + 0.1 * noise(index)));
    }
    assertClose(regression.predict([1, 4]), 18, 0.05);
    assertClose(regression.predict([1, 32]), 74, 0.1);
  });

  test("follows a change", () => {
    const regression = new DecayedRegression(2, 0.95);
    for (let index = 0; index < 100; index += 1) regression.observe([1, 1 + (index % 8)], 10);
    for (let index = 0; index < 100; index += 1) regression.observe([1, 1 + (index % 8)], 25);
    assertClose(regression.predict([1, 4]), 25, 0.05);
  });

  test("is not moved much by one hiccup", () => {
    const regression = new DecayedRegression(2, 0.98);
    for (let index = 0; index < 100; index += 1) regression.observe([1, 1 + (index % 8)], 10);
    regression.observe([1, 4], 10_000);
    assertClose(regression.predict([1, 4]), 10, 0.1);
  });

  test("forgets at once what was learned ten times too slow", () => {
    const regression = new DecayedRegression(2, 0.98, { canScale: true });
    for (let index = 0; index < 100; index += 1) regression.observe([1, 1 + (index % 8)], 100);
    for (let index = 0; index < 6; index += 1) regression.observe([1, 1 + (index % 8)], 10);
    assertClose(regression.predict([1, 4]), 10, 0.5);
  });

  test("keeps the line through noise that only makes times longer", () => {
    const regression = new DecayedRegression(2, 0.98);
    for (let index = 0; index < 400; index += 1) {
      const x = 1 + (index % 16);
      regression.observe([1, x], (10 + 2 * x) * (index % 10 === 7 ? 20 : 1));
    }
    assertClose(regression.predict([1, 8]), 26, 0.35);
  });

  test("credits the earlier feature with what observations cannot tell apart", () => {
    const regression = new DecayedRegression(2, 0.98);
    regression.observe([64, 1], 128);
    assertClose(regression.predict([512, 1]), 1024, 0.01);
  });

  test("recovers from a start at zero", () => {
    const regression = new DecayedRegression(2, 0.9);
    for (let index = 0; index < 10; index += 1) regression.observe([1, 1], 0);
    for (let index = 0; index < 100; index += 1) regression.observe([1, 1], 10);
    assertClose(regression.predict([1, 1]), 10, 0.05);
  });

  test("never predicts less for more", () => {
    const regression = new DecayedRegression(2, 0.98);
    for (let x = 1; x <= 20; x += 1) regression.observe([1, x], 100 - x);
    assert.ok(regression.predict([1, 40]) >= regression.predict([1, 20]));
  });
});
