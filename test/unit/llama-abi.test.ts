import assert from "node:assert/strict";
import { test } from "node:test";
import { findOtherValues } from "../../models/llama/abi-check.ts";
import { backendsOf } from "../../models/llama/backend-package.ts";

test("a struct whose fields moved shows as wrong default values, by name", () => {
  const documented = { n_ctx: 512, n_batch: 2048, kv_unified: false };
  assert.deepEqual(findOtherValues("params", documented, { ...documented }), []);
  assert.deepEqual(findOtherValues("params", documented, { n_ctx: 2048, n_batch: 512, kv_unified: false }), [
    "params.n_ctx is 2048 by default, not 512",
    "params.n_batch is 512 by default, not 2048",
  ]);
});

test("backends are tried best first, as far as the platform can have them", () => {
  assert.deepEqual(backendsOf("linux", "x64"), ["cuda", "vulkan", "cpu"]);
  assert.deepEqual(backendsOf("linux", "arm64"), ["cpu"]);
  assert.deepEqual(backendsOf("darwin", "arm64"), ["metal", "cpu"]);
  assert.deepEqual(backendsOf("darwin", "x64"), ["cpu"]);
  assert.deepEqual(backendsOf("win32", "x64"), ["cuda", "vulkan", "cpu"]);
});
