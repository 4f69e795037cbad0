import assert from "node:assert/strict";
import { test } from "node:test";
import { createFakeModelInfo, type FakeModelInfoOverrides } from "../../models/fake-model-runner.ts";
import { describeHostTier, kvCacheOptions } from "../../src/engine/kv-cache-options.ts";

const pool = { blockSize: 16, numBlocks: 100, bytesPerToken: 1012 };
const on = { prefixCache: true, hostMemoryBytes: null };
const FREE_RAM = 160 * 1024 * 1000;

function optionsOf(settings: Parameters<typeof kvCacheOptions>[1], overrides: FakeModelInfoOverrides = {}) {
  const { maxCachedBlocks, maxHostBlocks, canPin } = kvCacheOptions(
    createFakeModelInfo({ kvPool: pool, ...overrides }),
    settings,
    FREE_RAM,
  );
  return { maxCachedBlocks, maxHostBlocks, canPin };
}

test("host memory is an eighth of the free RAM unless a size is given", () => {
  assert.deepEqual(optionsOf(on), { maxCachedBlocks: 0, maxHostBlocks: 1250, canPin: true });
  assert.equal(optionsOf({ ...on, hostMemoryBytes: 16 * 1024 * 7 }).maxHostBlocks, 7);
});

test("without host memory a part of the pool keeps prefixes", () => {
  const { maxCachedBlocks, maxHostBlocks } = optionsOf({ ...on, hostMemoryBytes: 0 });
  assert.deepEqual([maxCachedBlocks, maxHostBlocks], [25, 0]);
});

test("in streams an idle prefix takes nobody's slice", () => {
  const options = kvCacheOptions(createFakeModelInfo({ kvLayout: "streams", maxNumSeqs: 7 }), on, FREE_RAM);
  assert.deepEqual([options.maxCachedBlocks, options.numSeqIds], [0, 7]);
});

test("a GPU keeps all that its pool holds", () => {
  assert.equal(optionsOf(on, { backend: "cuda" }).maxCachedBlocks, 100);
});

test("without a prefix cache nothing is kept anywhere", () => {
  const nothing = { maxCachedBlocks: 0, maxHostBlocks: 0, canPin: false };
  assert.deepEqual(optionsOf({ ...on, prefixCache: false }), nothing);
});

test("a sliding window is not copied", () => {
  const capabilities = { ...createFakeModelInfo().capabilities, hasSlidingWindow: true };
  assert.equal(optionsOf(on, { capabilities }).maxHostBlocks, 0);
});

test("the operator is told how much is kept, and why nothing is", () => {
  const info = createFakeModelInfo({ kvPool: pool });
  assert.match(describeHostTier(info, 64, null), /up to 1\.0 MiB, 1024 tokens$/);
  assert.match(
    describeHostTier(info, 0, { copyMs: 3, computeMs: 2 }),
    /computed again .*3\.00 ms to copy, 2\.00/,
  );
});
