import assert from "node:assert/strict";
import { test } from "node:test";
import { explainLoadFailure } from "../../models/llama/model-load-error.ts";

const explain = (...lines: string[]): string => explainLoadFailure("/models/a.gguf", lines);

test("the library's complaints become one sentence about the file", () => {
  const loading = "llama_model_load: error loading model: ";
  assert.equal(
    explain(
      `${loading}unknown model architecture: 'made-up'`,
      "llama_model_load_from_file_impl: failed to load model",
    ),
    'The model file a.gguf has the architecture "made-up", which this build of llama.cpp does not know.',
  );
  assert.equal(
    explain(
      `${loading}tensor 'blk.3.ffn_up.weight' data is not within the file bounds, model is corrupted or incomplete`,
    ),
    'The model file a.gguf is incomplete: the tensor "blk.3.ffn_up.weight" reaches beyond its end.',
  );
  assert.equal(
    explain(
      "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 9 MiB on device 0: cudaMalloc failed: out of memory",
    ),
    "The model file a.gguf does not fit into memory.",
  );
});

test("an unknown complaint is passed on without names of functions", () => {
  assert.equal(
    explain("llama_model_load: error loading model: done_getting_tensors: something new."),
    "The model file a.gguf cannot be loaded: done_getting_tensors: something new.",
  );
  assert.equal(explain(), "The model file a.gguf cannot be loaded: no reason given.");
});
