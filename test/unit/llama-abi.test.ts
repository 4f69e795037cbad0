import assert from "node:assert/strict";
import { test } from "node:test";
import { findAbiMismatches, findOtherValues } from "../../models/llama/abi-check.ts";
import { backendsOf, findBackendPackage } from "../../models/llama/backend-package.ts";
import { loadLibrary } from "../../models/llama/library.ts";

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

test("the installed library is the one the layouts were written for; another one is found out", () => {
  const { llama, ggml } = loadLibrary({ backend: "cpu", logger: () => undefined });
  assert.deepEqual(findAbiMismatches(llama, ggml), []);
  const shifted = { ...llama.llama_context_default_params(), n_ubatch: 0 };
  const other = { ...llama, llama_version: () => "0.9.0", llama_context_default_params: () => shifted };
  const polled = { ...ggml.ggml_threadpool_params_default(3), poll: 0 };
  const otherGgml = { ...ggml, ggml_threadpool_params_default: () => polled };
  assert.deepEqual(findAbiMismatches(other, otherGgml), [
    "version 0.9.0 instead of 0.4.0-dev",
    "llama_context_params.n_ubatch is 0 by default, not 512",
    "ggml_threadpool_params.poll is 0 by default, not 50",
  ]);
});

test(
  "a backend that has no package here is a reason, not a crash",
  { skip: process.platform === "darwin" },
  () => {
    const found = findBackendPackage("metal");
    assert.ok(typeof found === "string" && found.endsWith("is not installed"));
  },
);
