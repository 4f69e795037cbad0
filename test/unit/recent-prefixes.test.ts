import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { numTokensToCompute } from "../../src/engine/prompt-size.ts";
import type { GenerationRequest } from "../../src/engine/generation.ts";
import { RecentPrefixes } from "../../src/engine/recent-prefixes.ts";
import { createGenerationRequest, createSampling } from "../support/engine-builders.ts";

const BLOCK_SIZE = 16;

function createPrefixes(maxBlocks = 1000, blockSize = BLOCK_SIZE): RecentPrefixes {
  return new RecentPrefixes(() => ({ blockSize, maxBlocks }));
}

/** A prompt of its own from its first token on. */
function createPrompt(seed: number, length: number): number[] {
  return Array.from({ length }, (_, position) => seed * 1000 + position);
}

function createRequest(prompts: readonly number[][], cacheSalt = "") {
  return createGenerationRequest({ prompts: prompts.map((tokenIds) => ({ tokenIds })), cacheSalt });
}

function note(prefixes: RecentPrefixes, { prompts, cacheSalt }: GenerationRequest): void {
  for (const { tokenIds } of prompts) prefixes.note(tokenIds, cacheSalt);
}

describe("RecentPrefixes", () => {
  it("counts a prompt that came before as its last tokens", () => {
    const prefixes = createPrefixes();
    const request = createRequest([createPrompt(1, 450)]);
    assert.deepEqual(prefixes.sizesOf(request), [{ first: 450, further: 2 }]);
    assert.deepEqual(prefixes.sizesOf(request), [{ first: 450, further: 2 }], "asking is not running");
    note(prefixes, request);
    assert.deepEqual(prefixes.sizesOf(request), [{ first: 2, further: 2 }]);
    const whole = createRequest([createPrompt(1, 448)]);
    assert.deepEqual(prefixes.sizesOf(whole), [{ first: 16, further: 16 }], "the last block is computed");
  });

  it("counts whole blocks from the start on, up to the first that differs", () => {
    const prefixes = createPrefixes();
    note(prefixes, createRequest([createPrompt(1, 100)]));
    const other = [...createPrompt(1, 40), ...createPrompt(2, 20), ...createPrompt(1, 100).slice(60)];
    assert.equal(prefixes.sizesOf(createRequest([other]))[0]?.first, 100 - 2 * BLOCK_SIZE);
    const shifted = createPrompt(1, 100).slice(BLOCK_SIZE);
    assert.equal(prefixes.sizesOf(createRequest([shifted]))[0]?.first, 84);
  });

  it("shares within one salt", () => {
    const prefixes = createPrefixes();
    note(prefixes, createRequest([createPrompt(1, 100)], "a"));
    assert.equal(prefixes.sizesOf(createRequest([createPrompt(1, 100)], "b"))[0]?.first, 100);
    assert.equal(prefixes.sizesOf(createRequest([createPrompt(1, 100)], "a"))[0]?.first, 4);
  });

  it("counts what prompts of one list have in common once", () => {
    const instruction = createPrompt(1, 64);
    const list = [2, 3, 4].map((seed) => [...instruction, ...createPrompt(seed, 10)]);
    const sizes = createPrefixes().sizesOf(createRequest(list));
    assert.deepEqual(
      sizes.map(({ first }) => first),
      [74, 10, 10],
    );
    assert.equal(numTokensToCompute(sizes, 1), 94);
    assert.equal(numTokensToCompute(sizes, 3), 94 + 2 * 30);
  });

  it("takes a prompt that is scored to be computed whole", () => {
    const prefixes = createPrefixes();
    const request = createRequest([createPrompt(1, 100)]);
    note(prefixes, request);
    const scored = { ...request, sampling: createSampling({ promptLogprobs: 1 }) };
    assert.deepEqual(prefixes.sizesOf(scored), [{ first: 100, further: 4 }]);
  });

  it("forgets the oldest, and all when told to", () => {
    const prefixes = createPrefixes(8);
    const prompts = [1, 2, 3, 4].map((seed) => createRequest([createPrompt(seed, 2 * BLOCK_SIZE + 1)]));
    for (const request of prompts) note(prefixes, request);
    const firsts = (): number[] => prompts.map((request) => prefixes.sizesOf(request)[0]!.first);
    assert.deepEqual(firsts(), [1, 1, 1, 1]);
    note(prefixes, createRequest([createPrompt(5, 2 * BLOCK_SIZE + 1)]));
    assert.deepEqual(firsts(), [33, 33, 1, 1]);
    prefixes.clear();
    assert.deepEqual(firsts(), [33, 33, 33, 33]);
  });

  it("keeps what is still used", () => {
    const prefixes = createPrefixes(8);
    const used = createRequest([createPrompt(0, 2 * BLOCK_SIZE + 1)]);
    for (let seed = 1; seed < 20; seed += 1) {
      note(prefixes, used);
      note(prefixes, createRequest([createPrompt(seed, 2 * BLOCK_SIZE + 1)]));
      assert.equal(prefixes.sizesOf(used)[0]?.first, 1);
    }
  });

  it("expects nothing of caches that keep nothing or share nothing", () => {
    const request = createRequest([createPrompt(1, 100)]);
    const keepsNothing = createPrefixes(0);
    note(keepsNothing, request);
    assert.deepEqual(keepsNothing.sizesOf(request), [{ first: 100, further: 4 }]);
    const sharesNothing = createPrefixes(1000, 0);
    note(sharesNothing, request);
    assert.deepEqual(sharesNothing.sizesOf(request), [{ first: 100, further: 100 }]);
  });
});
